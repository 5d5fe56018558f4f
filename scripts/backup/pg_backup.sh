#!/usr/bin/env bash
# Backs up PostgreSQL to S3. The work is done by pg-backup; this script keeps the name
# and the parameters for existing callers.
#
#   scripts/backup/pg_backup.sh [--dry-run] [--log-format json|text] [further flags of pg-backup run]
#
# DATABASE_URL, S3_BUCKET, AWS_REGION, RETENTION_DAYS and the rest of docs/backup.md come
# from the environment. PG_BACKUP names the program; default: pg-backup in PATH. The
# exit code is that of pg-backup.
set -euo pipefail

program=${PG_BACKUP:-pg-backup}
if ! command -v "$program" >/dev/null; then
	printf '%s: %s is not there: install it from a release, or name it in PG_BACKUP\n' "${0##*/}" "$program" >&2
	exit 127
fi
exec "$program" run "$@"

// Package backup defines what a backup is: its manifest, the catalog of backups
// in a store, and the interfaces of the systems it works with: [Source], [Target],
// [Store] and [Observer].
//
// A backup is a folder of objects and a manifest.json. The manifest is written
// last, and only if none exists yet: writing it commits the backup. Without a
// manifest there is no backup; list, restore, verify and prune read manifests only.
//
// The operations are packages of their own: dump, restore, verify and retention.
// The adapters are postgres, store/s3, codec and report. This package speaks
// neither PostgreSQL's nor S3's protocol, has no clock and reads no environment.
package backup

package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nova/novawire/backup"
)

// queryExtensions returns the versions of the installed extensions, by name.
func queryExtensions(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, "SELECT extname::text, extversion FROM pg_catalog.pg_extension")
	if err != nil {
		return nil, classify(err)
	}
	versions := map[string]string{}
	var name, version string
	if _, err := pgx.ForEachRow(rows, []any{&name, &version}, func() error { versions[name] = version; return nil }); err != nil {
		return nil, fmt.Errorf("read the extensions: %w", classify(err))
	}
	return versions, nil
}

// preloadedExtensions lists the extensions that cannot be created unless the server has
// loaded their library at its start. Each comes with the settings of a scratch server that
// keep it from running jobs: a restored job would change the data that is to be compared,
// or act on other systems.
var preloadedExtensions = map[string]func(database string) map[string]string{
	"pg_cron": func(database string) map[string]string {
		return map[string]string{
			"cron.database_name":      database,
			"cron.launch_active_jobs": "off",
			"cron.host":               "/nonexistent", // for versions before 1.5, which do not know the other
		}
	},
	"pgaudit":     func(string) map[string]string { return nil },
	"timescaledb": func(string) map[string]string { return map[string]string{"timescaledb.max_background_workers": "0"} },
}

// extensionSettings returns the settings that a scratch server needs for the extensions of
// a backup.
func extensionSettings(m backup.Manifest) map[string]string {
	settings := map[string]string{}
	var libraries []string
	for name, settingsOf := range preloadedExtensions {
		if _, installed := m.Facts.Extensions[name]; installed {
			libraries = append(libraries, name)
			maps.Copy(settings, settingsOf(m.Database))
		}
	}
	if len(libraries) > 0 {
		slices.Sort(libraries)
		settings["shared_preload_libraries"] = strings.Join(libraries, ",")
	}
	return settings
}

// BeginData implements [backup.Target]. TimescaleDB's catalogue is loaded as data.
// Afterwards the extension takes the restored chunks for its own and repeats on each what
// is done to the hypertable, unless it was told of the restore.
func (t *Target) BeginData(ctx context.Context, database string) error {
	return t.callTimescaleDB(ctx, database, "timescaledb_pre_restore")
}

// EndData implements [backup.Target]. TimescaleDB refuses a catalogue of another version
// than its own here.
func (t *Target) EndData(ctx context.Context, database string) error {
	return t.callTimescaleDB(ctx, database, "timescaledb_post_restore")
}

// callTimescaleDB calls a function of TimescaleDB, if the database has the extension.
func (t *Target) callTimescaleDB(ctx context.Context, database, function string) error {
	conn, err := open(ctx, t.Address, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var schema string
	err = conn.QueryRow(ctx, "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'").Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = conn.Exec(ctx, "SELECT "+quoted(schema)+"."+function+"()")
	}
	if err != nil {
		return fmt.Errorf("TimescaleDB: %s: %w", function, classify(err))
	}
	return nil
}

package postgres

import (
	"maps"
	"slices"
	"testing"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestExtensionSettings(t *testing.T) {
	for name, c := range map[string]struct {
		extensions []string
		want       map[string]string
	}{
		"a backup that does not tell its extensions": {nil, nil},
		"extensions that are loaded when needed":     {[]string{"plpgsql", "hstore", "pg_stat_statements"}, nil},
		"TimescaleDB runs no policies":               {[]string{"plpgsql", "timescaledb"}, map[string]string{"shared_preload_libraries": "timescaledb", "timescaledb.max_background_workers": "0"}},
		"pg_cron runs no jobs": {[]string{"pgaudit", "pg_cron"}, map[string]string{
			"shared_preload_libraries": "pg_cron,pgaudit", "cron.database_name": "nova", "cron.launch_active_jobs": "off", "cron.host": "/nonexistent",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := backup.Manifest{Database: "nova"}
			m.Facts.Extensions = map[string]string{}
			for _, e := range c.extensions {
				m.Facts.Extensions[e] = "1.0"
			}
			if got := extensionSettings(m); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTarget_Missing(t *testing.T) {
	missing, err := targetOn(t, pgtest.SharedPostgres(t)).Missing(t.Context(), backup.Requirements{
		Owners: []string{pgtest.Superuser, "nobody"}, Grantees: []string{"pg_monitor", "noone"}, Tablespaces: []string{"pg_default", "fast"}, Extensions: []string{"plpgsql", "no_such"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, names := range map[string][]string{"nobody": missing.Owners, "noone": missing.Grantees, "fast": missing.Tablespaces, "no_such": missing.Extensions} {
		if !slices.Equal(names, []string{what}) {
			t.Errorf("missing: %q, want only %s", names, what)
		}
	}
}

// The database looks as if it had TimescaleDB, whose functions record their calls.
func TestTarget_TimescaleDB(t *testing.T) {
	pg := pgtest.SharedPostgres(t)
	target := targetOn(t, pg)
	without := pg.Database(t)
	database := pg.Database(t,
		`CREATE SCHEMA "Odd ""one"`,
		`SET allow_system_table_mods = on`,
		`INSERT INTO pg_extension SELECT 90000, 'timescaledb', 10, oid, false, '2.22.1', NULL, NULL FROM pg_namespace WHERE nspname = 'Odd "one'`,
		`CREATE TABLE called (what text)`,
		`CREATE FUNCTION "Odd ""one".timescaledb_pre_restore() RETURNS bool LANGUAGE sql AS $$ INSERT INTO public.called VALUES ('begin') RETURNING true $$`,
		`CREATE FUNCTION "Odd ""one".timescaledb_post_restore() RETURNS bool LANGUAGE sql AS $$ INSERT INTO public.called VALUES ('end') RETURNING true $$`,
	)
	for _, name := range []string{without, database} {
		if err := target.BeginData(t.Context(), name); err != nil {
			t.Error(err)
		}
		if err := target.EndData(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	called, err := collect(t.Context(), pg.Connect(t, database), "SELECT what FROM called ORDER BY ctid")
	if err != nil || !slices.Equal(called, []string{"begin", "end"}) {
		t.Errorf("called %q: %v", called, err)
	}
}

func targetOn(t *testing.T, pg *pgtest.Postgres) *Target {
	t.Helper()
	address, err := ParseAddress(pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	return &Target{Address: address, Folders: []string{pg.Folder}, Major: pg.Major}
}

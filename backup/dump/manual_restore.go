package dump

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// manualRestore writes the commands that restore a backup with the AWS command line,
// zstd, PostgreSQL's clients and, if it is encrypted, age.
func manualRestore(m backup.Manifest, location string) []string {
	read := func(s backup.Stream) string {
		var gets []string
		for _, o := range s.Objects {
			gets = append(gets, "aws s3 cp "+shellQuote(strings.TrimSuffix(location, "/")+"/"+m.Folder()+o.Name)+" -")
		}
		pipe := "{ " + strings.Join(gets, "; ") + "; }"
		if m.Encrypted {
			pipe += ` | age -d -i "$IDENTITY"`
		}
		return pipe + " | zstd -d"
	}
	lines := []string{
		"# Set NEW to the name of a database that does not exist yet, and PGHOST, PGUSER and PGPASSWORD to reach the server.",
	}
	if m.Encrypted {
		lines = append(lines, "# Set IDENTITY to the file with the age identity.")
	}
	for _, s := range m.StreamsOf(backup.StreamGlobals) {
		lines = append(lines, "# Roles and tablespaces, to read. Create those that the server lacks by hand: text from a bucket is not for psql.", "# "+read(s)+" | LC_ALL=C tr -dc '[:print:]\\n' | less")
	}
	if m.Facts.MonetaryLocale != "" {
		lines = append(lines, "export PGOPTIONS="+shellQuote("-c lc_monetary="+m.Facts.MonetaryLocale))
	}
	lines = append(lines, createdb(m.Facts.Properties))
	_, hypertables := m.Facts.Extensions["timescaledb"]
	for _, base := range m.StreamsOf(backup.StreamBase) {
		lines = append(lines, read(base)+` | pg_restore --section=pre-data -d "$NEW"`)
		if hypertables {
			lines = append(lines, callTimescaleDB("timescaledb_pre_restore"))
		}
		lines = append(lines, read(base)+` | pg_restore --section=data -d "$NEW"`)
	}
	for _, s := range m.StreamsOf(backup.StreamData) {
		lines = append(lines, fmt.Sprintf(`%s | pg_restore --section=data -d "$NEW" # %s`, read(s), oneLine(pgarchive.SQLName(s.Schema, s.Table))))
	}
	for _, base := range m.StreamsOf(backup.StreamBase) {
		lines = append(lines, read(base)+` | pg_restore --section=post-data -d "$NEW"`)
	}
	if hypertables {
		lines = append(lines, callTimescaleDB("timescaledb_post_restore"))
	}
	return lines
}

// callTimescaleDB calls a function in whatever schema the extension is.
func callTimescaleDB(function string) string {
	return `psql -X -v ON_ERROR_STOP=1 -d "$NEW" -c ` + shellQuote("DO $$ BEGIN EXECUTE (SELECT format('SELECT %s."+function+
		"()', extnamespace::regnamespace) FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'); END $$")
}

func createdb(p backup.Properties) string {
	line := "createdb --template=template0 --encoding=" + shellQuote(p.Encoding)
	line += " --lc-collate=" + shellQuote(p.Collate) + " --lc-ctype=" + shellQuote(p.CType)
	switch p.Provider {
	case "icu":
		line += " --locale-provider=icu --icu-locale=" + shellQuote(p.Locale)
	case "builtin":
		line += " --locale-provider=builtin --builtin-locale=" + shellQuote(p.Locale)
	}
	return line + ` "$NEW"`
}

// shellQuote makes any text one word of a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// oneLine makes a text fit for a comment: control characters, which end a line or are
// a terminal's commands, become spaces.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
}

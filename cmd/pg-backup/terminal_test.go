package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

func TestPrintableWriter(t *testing.T) {
	t.Run("escapes every character that a terminal could obey", func(t *testing.T) {
		for r := rune(0); r < 0x3000; r++ {
			if r == '\n' || r == '\t' {
				continue
			}
			var out strings.Builder
			if n, err := io.WriteString(printableWriter{&out}, "a"+string(r)+"b"); err != nil || n != 2+utf8.RuneLen(r) {
				t.Fatalf("%U: wrote %d, %v", r, n, err)
			}
			if bad := obeyed(out.String()); bad != "" {
				t.Errorf("%U is written as %q", r, out.String())
			}
		}
	})
	t.Run("escapes bytes that are no UTF-8", func(t *testing.T) {
		for b := 0x80; b < 0x100; b++ {
			if got := string(printable([]byte{'a', byte(b), 'b'})); got != fmt.Sprintf(`a\u%04xb`, b) {
				t.Errorf("%#x is written as %q", b, got)
			}
		}
	})
	t.Run("keeps text of any language, newlines and tabs", func(t *testing.T) {
		for _, text := range []string{"plain\n", "a\tb", "Größe, 日本語, עברית, 🐘"} {
			if got := string(printable([]byte(text))); got != text {
				t.Errorf("%q is written as %q", text, got)
			}
		}
	})
	t.Run("keeps JSON what it is", func(t *testing.T) {
		want := "\x00 \x1b[2J \x7f \u009b \u202e \u2028 end"
		encoded, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(printable(encoded), &got); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// obeyed returns the first character of the text that a terminal could obey.
func obeyed(text string) string {
	for _, r := range text {
		control := r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0
		direction := r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		if control || direction || r == utf8.RuneError {
			return fmt.Sprintf("%U", r)
		}
	}
	return ""
}

// hostileName is a name that clears a screen, sets a title, deletes what stands before it
// and turns its end around.
const hostileName = "evil\x1b[2J\x1b]0;pwned\x07\x08\x7f\u009b31m\u202etxt.exe\r\n"

// Whatever a database is called and whatever a bucket holds, no verb sends it to a
// terminal raw.
func TestTerminal_HostileNames(t *testing.T) {
	b := newEnvironment(t)
	b.pg.Exec(t, "postgres", `CREATE DATABASE "`+hostileName+`"`)
	defer b.pg.Exec(t, "postgres", `DROP DATABASE "`+hostileName+`"`)
	b.pg.Exec(t, hostileName, `CREATE TABLE "`+hostileName+`" AS SELECT generate_series(1, 2000) AS a`)
	quoted := `"` + hostileName + `"`
	var outcomes []outcome
	add := func(args ...string) outcome {
		for _, format := range []string{"json", "text"} {
			outcomes = append(outcomes, b.with("LOG_FORMAT", format).run(args...))
		}
		return outcomes[len(outcomes)-1]
	}
	if o := add("run", "--databases", quoted); o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	b.pg.Exec(t, hostileName, `DELETE FROM "`+hostileName+`"`)
	add("run", "--databases", quoted)
	add("run", "--dry-run", "--databases", quoted)
	add("verify")
	add("drill")
	id := backup.NewID(time.Now(), 1)
	b.put(backup.Folder(hostileName, id)+backup.ManifestName, fmt.Sprintf(`{"format":1,"id":%q,"database":"%s"}`, id, `\u001b[2J\u009b`))
	for _, args := range [][]string{
		{"list"},
		{"list", "-o", "json"},
		{"verify"},
		{"prune"},
		{"prune", "--dry-run"},
		{"restore", "--database", hostileName},
		{"hold", "--database", hostileName, "--backup", hostileName},
		{hostileName},
		{"run", "--" + hostileName},
		{"run", "--retention-days", hostileName},
		{"list", "-o", hostileName},
		{"install", "/nonexistent/" + hostileName},
		{"run", "--databases", `"no` + hostileName + `"`},
		{"restore", "--database", hostileName, "--to", "x" + hostileName, "--only", hostileName},
	} {
		add(args...)
	}
	for _, o := range outcomes {
		for _, text := range []string{o.stdout, o.stderr} {
			if bad := obeyed(text); bad != "" {
				t.Errorf("%s reaches the terminal: %q", bad, text)
			}
		}
	}
	b.pg.Exec(t, "postgres", `DROP DATABASE IF EXISTS "x`+hostileName+`"`)
	if o := b.run("list", "-o", "json"); !json.Valid([]byte(o.stdout)) {
		t.Errorf("not JSON: %s", o.stdout)
	}
	var bar strings.Builder
	(&session{program: program{terminal: &bar}}).drawBar(pace{database: hostileName, moved: 1, estimate: 2})
	if bad := obeyed(strings.TrimPrefix(bar.String(), "\r\x1b[K")); bad != "" {
		t.Errorf("%s reaches the terminal: %q", bad, bar.String())
	}
}

// Usage errors are logged in the format that was asked for, wherever they are found.
func TestUsageErrors_LogFormat(t *testing.T) {
	b := newEnvironment(t)
	for name, args := range map[string][]string{
		"an unknown verb":             {"dump"},
		"an unknown flag":             {"run", "--colour"},
		"a flag without a value":      {"run", "--retention-days"},
		"an argument too many":        {"list", "everything"},
		"no argument":                 {"install"},
		"a value that is not allowed": {"run", "--retention-days", "soon"},
		"an output that is not known": {"list", "-o", "yaml"},
		"no such backup":              {"restore", "--database", "none"},
		"a folder that is not":        {"install", "/nonexistent/dir"},
	} {
		for format, is := range map[string]func(string) bool{
			"json": func(line string) bool { return json.Valid([]byte(line)) && strings.Contains(line, `"level":"ERROR"`) },
			"text": func(line string) bool {
				return strings.HasPrefix(line, "time=") && strings.Contains(line, "level=ERROR") && !json.Valid([]byte(line))
			},
		} {
			t.Run(name+", "+format, func(t *testing.T) {
				for how, o := range map[string]outcome{
					"variable": b.with("LOG_FORMAT", format, "LOG_LEVEL", "error").run(args...),
					"flag":     b.with("LOG_LEVEL", "error").run(append(args[:len(args):len(args)], "--log-format", format)...),
				} {
					if name == "a flag without a value" && how == "flag" {
						continue // it would take the next flag as its value
					}
					lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
					if o.code != 64 && name != "a folder that is not" || len(lines) != 1 || !is(lines[0]) {
						t.Errorf("by %s: exit %d, stderr %q", how, o.code, o.stderr)
					}
				}
			})
		}
	}
	t.Run("an unknown verb is answered with the nearest one", func(t *testing.T) {
		if o := b.run("vrify"); o.code != 64 || !strings.Contains(o.stderr, "did you mean verify?") {
			t.Errorf("exit %d, stderr %q", o.code, o.stderr)
		}
	})
	t.Run("a LOG_FORMAT that is not known is itself an error in JSON", func(t *testing.T) {
		if o := b.with("LOG_FORMAT", "xml").run("list"); o.code != 64 || !json.Valid([]byte(o.stderr)) {
			t.Errorf("exit %d, stderr %q", o.code, o.stderr)
		}
	})
}

// DATABASES names any database: one with a comma, a quote or blanks is quoted as SQL
// quotes it.
func TestDatabases_Quoted(t *testing.T) {
	b := newEnvironment(t)
	names := []string{"a,b", `q"uote`, " blank ", "*", "plain"}
	var list []string
	for _, name := range names {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		b.pg.Exec(t, "postgres", "CREATE DATABASE "+quoted)
		defer b.pg.Exec(t, "postgres", "DROP DATABASE "+quoted)
		list = append(list, quoted)
	}
	list[4] = "plain"
	o := b.must("run", "--databases", strings.Join(list, " , "))
	if len(o.result.Databases) != len(names) {
		t.Fatalf("result %+v", o.result.Databases)
	}
	for i, d := range o.result.Databases {
		if d.Name != names[i] || d.Category != backupapi.CategorySucceeded {
			t.Errorf("got %+v, want %q", d, names[i])
		}
	}
}

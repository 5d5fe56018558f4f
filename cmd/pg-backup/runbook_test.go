package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/pgtest"
)

const runbook = "../../docs/runbooks/restore_postgres.md"

// Programs that this test's binary stands in for, by these variables.
const (
	beAWSTool = "PG_BACKUP_TEST_BE_AWS_TOOL"
	beAge     = "PG_BACKUP_TEST_BE_AGE"
)

// Each block of the runbook names the way that it belongs to. The blocks of a way
// are run as a person would, one shell from the first to the last; those of the
// cluster are run by e2e.
func TestRunbook(t *testing.T) {
	for _, program := range []string{"zstd", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			pgtest.Missing(t, program, "postgresql")
		}
	}
	blocks := runbookBlocks(t)
	for _, c := range []struct {
		name      string
		encrypted bool
		ways      []string
	}{
		{"with pg-backup", false, []string{"pg-backup", "check", "rename", "drill", "after"}},
		{"by hand", false, []string{"by-hand", "check-by-hand", "rename"}},
		{"with pg-backup, encrypted", true, []string{"pg-backup", "check", "rename", "drill", "after"}},
		{"by hand, encrypted", true, []string{"by-hand", "check-by-hand", "rename"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newEnvironment(t)
			b.pg.Exec(t, "postgres", `DO $$ BEGIN CREATE ROLE "o"" \! touch owned #"; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
			source := b.pg.Database(t, append(append([]string{}, social...), grown(`"Big.Table"`, 80)...)...)
			b.pg.Exec(t, source, hostile...)
			b.pg.Exec(t, "postgres", `ALTER DATABASE `+source+` SET work_mem = '7MB'`, `ALTER DATABASE `+source+` OWNER TO "o"" \! touch owned #"`,
				`ALTER DATABASE `+source+` SET search_path = "$user", public, "a, "" \! touch owned"`, `ALTER DATABASE `+source+` SET application_name = '\! touch owned'`,
				`COMMENT ON DATABASE `+source+` IS E'x\n\\! touch owned'`, `REVOKE TEMPORARY ON DATABASE `+source+` FROM PUBLIC`)
			want := properties(t, b.pg, source)
			if c.encrypted {
				b = b.encrypting()
			}
			env := b.runbookEnv(source, c.ways[0] == "pg-backup")
			b.must("run", "--databases", source)
			whole := sortedDump(t, b.pg, source)
			b.pg.Exec(t, source, `TRUNCATE posts`) // what the restore is for

			var script strings.Builder
			for _, way := range c.ways {
				if script.WriteString(blocks[way]); blocks[way] == "" {
					t.Errorf("the runbook has no commands of %q", way)
				}
			}
			cmd := exec.Command("sh", "-e", "-c", script.String())
			cmd.Dir, cmd.Env = t.TempDir(), env
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "every table has its rows") {
				t.Errorf("nothing was checked:\n%s", out)
			}
			if after := sortedDump(t, b.pg, source); after != whole {
				t.Errorf("the database is not what it was:\n%s", firstDifference(whole, after))
			}
			if got := b.pg.Value(t, source, "SHOW work_mem"); got != "7MB" {
				t.Errorf("work_mem is %s: the database's own settings did not come back", got)
			}
			if diff := cmp.Diff(want, properties(t, b.pg, source)); diff != "" {
				t.Errorf("the database's properties (-want +got):\n%s", diff)
			}
			for _, folder := range []string{cmd.Dir, ".", os.Getenv("HOME")} {
				if _, err := os.Stat(filepath.Join(folder, "owned")); err == nil {
					t.Errorf("a name was run as a command in %s", folder)
				}
			}
			b.pg.Exec(t, "postgres", `DROP DATABASE IF EXISTS `+source+`_broken`)
		})
	}
}

// hostile has names that are commands somewhere: of psql, of a shell, of SQL, of a
// terminal.
var hostile = []string{
	`CREATE TABLE "a$name$ \! touch owned #" (a int)`,
	`INSERT INTO "a$name$ \! touch owned #" VALUES (1)`,
	"CREATE TABLE \"b\n\\! touch owned\n\" (a int)",
	"INSERT INTO \"b\n\\! touch owned\n\" VALUES (1), (2)",
	"CREATE TABLE \"c$(touch owned)`touch owned`;touch owned\" (a int)",
	`CREATE TABLE "d'; DROP TABLE posts; --" ("e"";\! touch owned" int DEFAULT 1)`,
	"CREATE TABLE \"\x1b]0;title\x07\" (a int)",
	`CREATE SCHEMA "user"`,
	`CREATE TABLE "user"."select" (a int)`,
	`INSERT INTO "user"."select" VALUES (1), (2), (3)`,
	`CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd')`,
	`CREATE TABLE moods (m mood) PARTITION BY HASH (m)`,
	`CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0)`,
	`CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
	`INSERT INTO moods SELECT ('{a,b,c,d}'::mood[])[1 + i % 4] FROM generate_series(1, 40) i`,
}

// The settings of the runbook are all that its commands refer to.
func TestRunbook_Variables(t *testing.T) {
	blocks := runbookBlocks(t)
	explained := blocks["settings"] + "STATEFULSET NAMESPACE FOLDER" // FOLDER is set where it is used
	for way, script := range blocks {
		for _, m := range regexp.MustCompile(`\$\{?([A-Z_0-9]+)`).FindAllStringSubmatch(script, -1) {
			if !strings.Contains(explained, m[1]) {
				t.Errorf("%s: nobody says what %s is", way, m[1])
			}
		}
	}
}

// runbookBlocks are the commands of each way, in order.
func runbookBlocks(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```sh( [a-z-]+)?\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		way := strings.TrimSpace(m[1])
		if way == "" {
			t.Errorf("no test runs these commands:\n%s", m[2])
		}
		blocks[way] += m[2]
	}
	return blocks
}

// encrypting returns an environment whose backups are encrypted, and which can read them.
func (b *environment) encrypting() *environment {
	b.t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.with("ENCRYPTION_RECIPIENTS_FILE", write(b.t, "recipients", identity.Recipient().String()+"\n"),
		"ENCRYPTION_IDENTITY_FILE", write(b.t, "identity", identity.String()+"\n"))
}

// runbookEnv is what the settings say, with this test's binary as the programs
// that a machine may not have.
func (b *environment) runbookEnv(database string, withProgram bool) []string {
	b.t.Helper()
	bin := b.t.TempDir()
	for name, variable := range map[string]string{"pg-backup": beProgram, "aws": beAWSTool, "age": beAge} {
		if name == "pg-backup" && !withProgram {
			continue
		}
		script := "#!/bin/sh\nexec env " + variable + `=1 "$SELF" "$@"` + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	env := []string{
		"PATH=" + bin + ":" + b.pg.Folder + ":/usr/bin:/bin", "SELF=" + os.Args[0], "AWS_ENDPOINT_URL=" + b.s3.Endpoint,
		"DATABASE=" + database, "NEW=" + database + "_restored", "IDENTITY=" + b.env["ENCRYPTION_IDENTITY_FILE"],
		"PGHOST=127.0.0.1", "PGPORT=" + b.pg.Port, "PGUSER=" + pgtest.Superuser,
	}
	for name, value := range b.env {
		env = append(env, name+"="+value)
	}
	return env
}

// awsTool is as much of the AWS command line as the runbook uses: s3 ls of a
// folder, and s3 cp to a file or to stdout.
func awsTool(args []string) error {
	if len(args) < 3 || args[0] != "s3" {
		return fmt.Errorf("aws: %q", args)
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(args[2], "s3://"), "/")
	client := (&pgtest.S3{Endpoint: os.Getenv("AWS_ENDPOINT_URL")}).Client()
	switch {
	case args[1] == "ls" && len(args) == 3:
		out, err := client.ListObjectsV2(context.Background(), &sdk.ListObjectsV2Input{Bucket: &bucket, Prefix: &key, Delimiter: aws.String("/")})
		if err != nil {
			return err
		}
		for _, p := range out.CommonPrefixes {
			fmt.Printf("%30s %s\n", "PRE", strings.TrimPrefix(*p.Prefix, key))
		}
		return nil
	case args[1] == "cp" && len(args) == 4:
		out, err := client.GetObject(context.Background(), &sdk.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		to := os.Stdout
		if args[3] != "-" {
			if to, err = os.Create(args[3]); err != nil {
				return err
			}
			defer to.Close()
		}
		_, err = io.Copy(to, out.Body)
		return err
	}
	return fmt.Errorf("aws: %q", args)
}

// ageTool is `age -d -i FILE`, from stdin to stdout.
func ageTool(args []string) error {
	if len(args) != 3 || args[0] != "-d" || args[1] != "-i" {
		return fmt.Errorf("age: %q", args)
	}
	file, err := os.Open(args[2])
	if err != nil {
		return err
	}
	defer file.Close()
	identities, err := age.ParseIdentities(file)
	if err != nil {
		return err
	}
	plain, err := age.Decrypt(os.Stdin, identities...)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, plain)
	return err
}

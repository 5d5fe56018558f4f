package main

import (
	"bytes"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/codec"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/backup/retention"
)

// settings are the contract's variables by name: from a flag, else from the
// environment, else the default.
type settings struct {
	values map[string]string
	getenv func(string) string
}

func (p program) settings(cmd *cobra.Command) (settings, error) {
	s := settings{values: map[string]string{}, getenv: p.getenv}
	for _, v := range backupapi.Environment() {
		value := strings.TrimSpace(p.getenv(v.Name))
		if flag := cmd.Flags().Lookup(v.Flag()); flag != nil && flag.Changed {
			value = flag.Value.String()
		}
		if value == "" {
			value = v.Default
		}
		s.values[v.Name] = value
	}
	if err := s.deriveURL(); err != nil {
		return s, err
	}
	return s, s.check(cmd)
}

// deriveURL sets DATABASE_URL from the keys of a Secret, or from the environment of the
// server's container. If that holds no password, a DATABASE_URL that is set stays.
func (s settings) deriveURL() (err error) {
	address := s.values[backupapi.EnvServerAddress]
	if secret := s.values[backupapi.EnvConnectionSecret]; secret != "" {
		s.values[backupapi.EnvDatabaseURL], err = backupapi.SecretURL(secret, address, s.getenv)
		return backup.Fail(backupapi.CategoryUsage, err)
	}
	if address == "" {
		return nil
	}
	url, err := backupapi.ServerURL(address, s.getenv, os.ReadFile)
	if err != nil && s.values[backupapi.EnvDatabaseURL] == "" {
		return backup.Fail(backupapi.CategoryUsage, err)
	}
	if err == nil {
		s.values[backupapi.EnvDatabaseURL] = url
	}
	return nil
}

// check comes after all are read: a mistake in one must not hide where to report it.
func (s settings) check(cmd *cobra.Command) error {
	for _, v := range backupapi.Environment() {
		value := s.values[v.Name]
		if value == "" {
			continue
		}
		if err := v.Check(value); err != nil {
			return backup.Fail(backupapi.CategoryUsage, err)
		}
		if flag := cmd.Flags().Lookup(v.Flag()); flag != nil && flag.Changed {
			if err := refuseSecretFlag(v, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseSecretFlag: a command line can be read by every process of the machine.
func refuseSecretFlag(v backupapi.Variable, value string) error {
	if !v.Secret {
		return nil
	}
	if address, err := postgres.ParseAddress(value); err == nil && address.Password != "" {
		return usageError("--%s has a password in it: set %s, or PGPASSWORD", v.Flag(), v.Name)
	}
	return nil
}

func (s settings) number(name string) int {
	n, _ := strconv.Atoi(s.values[name]) // checked by the contract
	return n
}

func (s settings) duration(name string) time.Duration {
	d, _ := time.ParseDuration(s.values[name]) // checked by the contract
	return d
}

func (s settings) require(names ...string) error {
	for _, name := range names {
		if s.values[name] == "" {
			return usageError("%s is not set", name)
		}
	}
	return nil
}

func (s settings) policy() retention.Policy {
	return retention.Policy{Days: s.number(backupapi.EnvRetentionDays), KeepMinimum: s.number(backupapi.EnvKeepMinimum)}
}

func (s settings) address() (postgres.Address, error) {
	if err := s.require(backupapi.EnvDatabaseURL); err != nil {
		return postgres.Address{}, err
	}
	address, err := postgres.ParseAddress(s.values[backupapi.EnvDatabaseURL])
	if err != nil {
		return address, usageError("read %s: %w", backupapi.EnvDatabaseURL, err)
	}
	if address, err = address.Resolve(s.getenv); err != nil {
		return address, usageError("read the connection: %w", err)
	}
	return address, nil
}

// databases are those asked for; none is every one of the server.
func (s settings) databases(address postgres.Address) (names []string) {
	list := s.values[backupapi.EnvDatabases]
	if list == "" && address.Database != "" {
		return []string{address.Database}
	}
	names, all, err := backupapi.SplitDatabases(list)
	if err != nil || all {
		return nil // checked by the contract
	}
	return names
}

func (s settings) patterns(name string) []string {
	if s.values[name] == "" {
		return nil
	}
	patterns, _ := backupapi.SplitPatterns(s.values[name]) // checked by the contract
	return patterns
}

// folders are where PostgreSQL's programs are looked for.
func (s settings) folders() []string {
	if folder := s.values[backupapi.EnvClientDirectory]; folder != "" {
		return []string{folder}
	}
	return append(strings.Split(s.getenv("PATH"), ":"), postgres.DefaultFolders...)
}

func (s settings) recipients() ([]age.Recipient, error) {
	content, err := s.file(backupapi.EnvEncryptionFile)
	if err != nil || content == nil {
		return nil, err
	}
	recipients, err := codec.ParseRecipients(bytes.NewReader(content))
	return recipients, backup.Fail(backupapi.CategoryUsage, err)
}

func (s settings) identities() ([]age.Identity, error) {
	content, err := s.file(backupapi.EnvIdentityFile)
	if err != nil || content == nil {
		return nil, err
	}
	identities, err := codec.ParseIdentities(bytes.NewReader(content))
	return identities, backup.Fail(backupapi.CategoryUsage, err)
}

func (s settings) file(name string) ([]byte, error) {
	if s.values[name] == "" {
		return nil, nil
	}
	content, err := os.ReadFile(s.values[name])
	if err != nil {
		return nil, usageError("read %s: %w", name, err)
	}
	return content, nil
}

// streams is the parallelism that fits into the memory that there is.
func (s settings) streams(log *slog.Logger) int {
	asked := s.number(backupapi.EnvParallelism)
	limit := memoryLimit()
	streams := dump.FitStreams(asked, dump.DefaultLayout, limit)
	if streams < asked {
		log.Warn("memory limit allows fewer streams", "asked", asked, "streams", streams, "limit", limit)
	}
	return streams
}

// memoryLimit returns the memory limit of the container in bytes, or zero if it has no limit.
func memoryLimit() int64 {
	content, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return limit
}

// logger returns the logger that the settings ask for, and the default one for
// settings that are not allowed, which are reported with it.
func (s settings) logger(p program) *slog.Logger {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(s.values[backupapi.EnvLogLevel])); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if s.values[backupapi.EnvLogFormat] == "text" {
		return slog.New(slog.NewTextHandler(p.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, options))
}

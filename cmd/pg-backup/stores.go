package main

import (
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/store/s3"
)

// openStore opens the store at a URL. setting returns a variable of the environment,
// or the flag or the default in its place.
type openStore func(location string, setting func(name string) string) (backup.Store, error)

// stores lists the stores by the scheme of their URL. A new store is a package of its
// own, a line here and a line in the contract (storeLocations in api/backup).
var stores = map[string]openStore{
	"s3": s3.Open,
}

func (s settings) store() (backup.Store, error) {
	if err := s.require(backupapi.EnvS3Bucket); err != nil {
		return nil, err
	}
	return open(backupapi.EnvS3Bucket, s.values[backupapi.EnvS3Bucket], s.setting)
}

func open(variable, location string, setting func(name string) string) (backup.Store, error) {
	scheme, _, _ := strings.Cut(location, "://")
	open := stores[scheme]
	if open == nil {
		return nil, usageError("open the store: %s has the scheme %q, which no store has", variable, scheme)
	}
	return open(location, setting)
}

// setting returns a variable of the contract, or any other variable of the environment.
func (s settings) setting(name string) string {
	if value, known := s.values[name]; known {
		return value
	}
	return s.getenv(name)
}

// copyStore opens the second store.
func (s settings) copyStore() (backup.Store, error) {
	if err := s.require(backupapi.EnvCopyBucket); err != nil {
		return nil, err
	}
	location := s.values[backupapi.EnvCopyBucket]
	if location == s.values[backupapi.EnvS3Bucket] && s.copySetting(backupapi.EnvS3Endpoint) == s.values[backupapi.EnvS3Endpoint] {
		return nil, usageError("%s is the same as %s: a copy belongs into another place", backupapi.EnvCopyBucket, backupapi.EnvS3Bucket)
	}
	return open(backupapi.EnvCopyBucket, location, s.copySetting)
}

// copySetting returns a variable as the second store has it: its own with the prefix
// COPY_, else that of the first. A key is of one region, a lock is of one bucket, and
// credentials come from one place: these are not mixed.
func (s settings) copySetting(name string) string {
	if value := s.setting(backupapi.CopyPrefix + name); value != "" {
		return value
	}
	ownCredentials := s.values[backupapi.EnvCopyCredentials] != ""
	if name == backupapi.EnvKMSKey || name == backupapi.EnvObjectLock || ownCredentials && isCredential(name) {
		return ""
	}
	return s.setting(name)
}

// isCredential reports whether a variable leads to credentials of AWS.
func isCredential(name string) bool {
	switch name {
	case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN":
		return true
	}
	return strings.HasPrefix(name, "AWS_CONTAINER_")
}

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
	location := s.values[backupapi.EnvS3Bucket]
	scheme, _, _ := strings.Cut(location, "://")
	open := stores[scheme]
	if open == nil {
		return nil, usageError("open the store: %s has the scheme %q, which no store has", backupapi.EnvS3Bucket, scheme)
	}
	return open(location, s.setting)
}

// setting returns a variable of the contract, or any other variable of the environment.
func (s settings) setting(name string) string {
	if value, known := s.values[name]; known {
		return value
	}
	return s.getenv(name)
}

package main

import (
	"fmt"
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/signature"
)

// signedBy lists the purposes for which a verb uses its signing key.
var signedBy = map[string][]string{
	"run":   {signature.Manifest},
	"drill": {signature.Verification, signature.Evidence},
}

// sign makes the store sign and verify, as far as there are keys. A key whose
// signatures would be refused later is refused before any work.
func (s *session) sign() error {
	key, err := s.signingKey()
	if err != nil {
		return err
	}
	keys, err := s.verifyKeys()
	if err != nil {
		return err
	}
	purposes := signedBy[s.result.Verb]
	if len(purposes) == 0 {
		key = nil
	}
	for _, purpose := range purposes {
		if key != nil && len(keys) > 0 && !keys.Trusts(key.Public(), purpose) {
			return usageError("%s does not trust the key of %s, %s, for %s: add its public key", backupapi.EnvVerifyKeyFile, backupapi.EnvSigningKeyFile, key.Public().Fingerprint(), purpose)
		}
	}
	if key == nil && len(keys) == 0 {
		return nil
	}
	if s.values[backupapi.EnvUnsigned] == backupapi.UnsignedWarn {
		s.warn = s.warnUnsigned()
	}
	s.key, s.keys = key, keys
	s.store = &signature.Store{Store: s.store, Key: key, Keys: keys, Warn: s.warn}
	return nil
}

// warnUnsigned returns a function that logs each object once.
func (s *session) warnUnsigned() func(key string, problem error) {
	var warned sync.Map
	return func(key string, problem error) {
		if _, again := warned.LoadOrStore(key, true); !again {
			s.log.Warn("what is not signed is used, because "+backupapi.EnvUnsigned+" is "+backupapi.UnsignedWarn, "object", key, "problem", problem)
		}
	}
}

// verifies reports whether signatures are verified, so that what a manifest says can
// be trusted.
func (s *session) verifies() bool { return len(s.keys) > 0 }

func (s settings) signingKey() (*signature.Key, error) {
	content, err := s.file(backupapi.EnvSigningKeyFile)
	if err != nil || content == nil {
		return nil, err
	}
	key, err := signature.ParseKey(content)
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("%s: %w", backupapi.EnvSigningKeyFile, err))
	}
	return &key, nil
}

func (s settings) verifyKeys() (signature.Keys, error) {
	content, err := s.file(backupapi.EnvVerifyKeyFile)
	if err != nil || content == nil {
		return nil, err
	}
	keys, err := signature.ParseKeys(content)
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("%s: %w", backupapi.EnvVerifyKeyFile, err))
	}
	return keys, nil
}

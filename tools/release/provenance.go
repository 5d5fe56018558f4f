package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const checksums = "SHA256SUMS"

// writeChecksums writes the SHA-256 of each artifact, as sha256sum -c reads it.
func (r *release) writeChecksums() error {
	sums, err := r.sums()
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, s := range sums {
		fmt.Fprintf(&out, "%s  %s\n", s.Digest["sha256"], s.Name)
	}
	return os.WriteFile(filepath.Join(r.out, checksums), []byte(out.String()), 0o644)
}

// subject is an artifact of an in-toto statement.
type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// sums returns the artifacts, by name.
func (r *release) sums() (subjects []subject, err error) {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		subjects = append(subjects, subject{entry.Name(), map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	}
	return subjects, nil
}

// writeProvenance writes an in-toto statement with a SLSA v1 predicate: from which
// commit and with which parameters the artifacts were built. It is not signed; the
// workflow's attestation is.
func (r *release) writeProvenance() error {
	subjects, err := r.sums()
	if err != nil {
		return err
	}
	var platforms []string
	for _, p := range r.platforms {
		platforms = append(platforms, p.String())
	}
	statement := map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       subjects,
		"predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":          "https://github.com/nova/novawire/tools/release",
				"externalParameters": map[string]any{"version": r.version, "platforms": platforms},
				"internalParameters": map[string]any{"go": runtime.Version()},
				"resolvedDependencies": []any{map[string]any{
					"uri": "git+https://github.com/nova/novawire", "digest": map[string]string{"gitCommit": r.commit},
				}},
			},
			"runDetails": map[string]any{"builder": map[string]string{"id": "https://github.com/nova/novawire/blob/main/.github/workflows/release.yaml"}},
		},
	}
	data, err := json.MarshalIndent(statement, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "provenance.intoto.json"), append(data, '\n'), 0o644)
}

// signAll runs the signing program with the path of each artifact.
func (r *release) signAll(ctx context.Context) error {
	if r.sign == "" {
		return nil
	}
	subjects, err := r.sums()
	if err != nil {
		return err
	}
	for _, s := range subjects {
		cmd := exec.CommandContext(ctx, r.sign, filepath.Join(r.out, s.Name))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", s.Name, err, out)
		}
	}
	return nil
}

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// releases is where the workflow publishes the artifacts of a version.
const releases = "https://github.com/nova/novawire/releases/download"

const krewHead = `# kubectl krew install --manifest-url=%[1]s/%[2]s/novawire.yaml
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: novawire
spec:
  version: %[2]s
  homepage: https://github.com/nova/novawire
  shortDescription: Preview wiring, run and check backups
  description: |
    Shows what Novawire does to manifests, runs backups, restores and drills of
    PostgreSQL StatefulSets, shows which databases are protected, and checks a
    deployment from outside.
  platforms:
`

const krewPlatform = `    - selector:
        matchLabels: {os: %[1]s, arch: %[2]s}
      uri: %[3]s
      sha256: %[4]s
      bin: novawire
      files:
        - {from: %[5]s/*, to: .}
`

// writeKrew writes the manifest of the kubectl plugin for krew. The plugin is the
// program of the archives: it shows its help as kubectl novawire if kubectl runs it.
func (r *release) writeKrew() error {
	var out strings.Builder
	fmt.Fprintf(&out, krewHead, releases, r.version)
	for _, p := range r.platforms {
		folder := fmt.Sprintf("novawire-%s-%s-%s", r.version, p.os, p.arch)
		data, err := os.ReadFile(filepath.Join(r.out, folder+".tar.gz"))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&out, krewPlatform, p.os, p.arch, releases+"/"+r.version+"/"+folder+".tar.gz", hex.EncodeToString(sum[:]), folder)
	}
	return os.WriteFile(filepath.Join(r.out, "novawire.yaml"), []byte(out.String()), 0o644)
}

package config

import (
	"testing"

	"github.com/nova/novawire/internal/version"
)

func TestDefault_Images(t *testing.T) {
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000001"
	for _, c := range []struct{ name, manager, version, config, sidecar, backup string }{
		{
			name: "the defaults of a build without a version", sidecar: "ghcr.io/nova/novawire-sidecar:latest", backup: "ghcr.io/nova/pg-backup:latest",
		},
		{
			name: "the version of the build", version: "v0.2.0",
			sidecar: "ghcr.io/nova/novawire-sidecar:v0.2.0", backup: "ghcr.io/nova/pg-backup:v0.2.0",
		},
		{
			name: "registry and tag of the manager", manager: "mirror.example.com:5000/nova/novawire:v0.3.0", version: "v0.2.0",
			sidecar: "mirror.example.com:5000/nova/novawire-sidecar:v0.3.0", backup: "mirror.example.com:5000/nova/pg-backup:v0.3.0",
		},
		{
			name: "a port is no tag", manager: "mirror.example.com:5000/novawire", version: "v0.2.0",
			sidecar: "mirror.example.com:5000/novawire-sidecar:v0.2.0", backup: "mirror.example.com:5000/pg-backup:v0.2.0",
		},
		{
			name: "a digest is the manager's alone", manager: "mirror.example.com/nova/novawire:v0.3.0" + digest, version: "v0.2.0",
			sidecar: "mirror.example.com/nova/novawire-sidecar:v0.2.0", backup: "mirror.example.com/nova/pg-backup:v0.2.0",
		},
		{
			name: "no registry", manager: "novawire:dev",
			sidecar: "novawire-sidecar:dev", backup: "pg-backup:dev",
		},
		{
			name: "the configuration file wins", manager: "mirror.example.com/nova/novawire:v0.3.0",
			config:  "injection: {sidecar: {image: a/b:c}}\nbackup: {image: d/e:f}",
			sidecar: "a/b:c", backup: "d/e:f",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			previous := version.Version
			version.Version = c.version
			t.Cleanup(func() { version.Version = previous })
			got := Default(c.manager)
			if err := got.Parse([]byte(c.config)); err != nil {
				t.Fatal(err)
			}
			if got.Injection.Sidecar.Image != c.sidecar || got.Backup.Image != c.backup {
				t.Errorf("sidecar %s, backup %s; want %s and %s", got.Injection.Sidecar.Image, got.Backup.Image, c.sidecar, c.backup)
			}
			if got.Injection.Version != c.version {
				t.Errorf("version %q, want %q", got.Injection.Version, c.version)
			}
		})
	}
}

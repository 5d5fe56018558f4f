package config

import (
	"os"
	"path/filepath"
	"testing"
)

// The program accepts the configuration of every overlay, and it configures a backend for
// the sidecar.
func TestOverlays_Configuration(t *testing.T) {
	files, err := filepath.Glob("../manifests/overlays/*/config.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("overlays: %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := Default("")
		if err := c.Parse(text); err != nil || !c.Injection.Sidecar.Configured() {
			t.Errorf("%s: %v, sidecar %+v", file, err, c.Injection.Sidecar)
		}
	}
}

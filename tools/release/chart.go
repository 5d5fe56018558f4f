package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var chartVersion = regexp.MustCompile(`(?m)^(version|appVersion): .*$`)

// writeChart packages the chart with the release's version, as helm package would,
// but with the same bytes each time.
func (r *release) writeChart() error {
	files, err := filesBelow(filepath.Join(r.root, "charts", "novawire"), "novawire")
	if err != nil {
		return err
	}
	var packed []file
	for _, f := range files {
		switch {
		case strings.HasPrefix(f.name, "novawire/ci/"), f.name == "novawire/.helmignore":
			continue
		case f.name == "novawire/Chart.yaml":
			f.data = chartVersion.ReplaceAll(f.data, []byte("$1: "+strings.TrimPrefix(r.version, "v")))
			if n := bytes.Count(f.data, []byte(": "+strings.TrimPrefix(r.version, "v")+"\n")); n != 2 {
				return fmt.Errorf("Chart.yaml has %d versions, want 2", n)
			}
		}
		packed = append(packed, f)
	}
	data, err := tarball(packed, r.time)
	if err != nil {
		return err
	}
	if data, err = compress(data); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, r.chartName()), data, 0o644)
}

func (r *release) chartName() string {
	return "novawire-" + strings.TrimPrefix(r.version, "v") + ".tgz"
}

// writeInstall renders the packaged chart with its defaults, for kubectl apply.
func (r *release) writeInstall(ctx context.Context) error {
	if r.helm == "" {
		fmt.Fprintln(os.Stderr, "no -helm: install.yaml is left out")
		return nil
	}
	chart, err := filepath.Abs(filepath.Join(r.out, r.chartName()))
	if err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "release-helm-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	rendered, err := r.output(ctx, []string{"HELM_CONFIG_HOME=" + home, "HELM_CACHE_HOME=" + home, "HELM_DATA_HOME=" + home},
		r.helm, "template", "novawire", chart, "--namespace", "novawire-system", "--set", "namespace.create=true")
	if err != nil {
		return err
	}
	// Helm owns nothing of what kubectl applies.
	rendered = regexp.MustCompile(`(?m)^ +(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)\n`).ReplaceAllString(rendered, "")
	return os.WriteFile(filepath.Join(r.out, "install.yaml"), []byte(rendered), 0o644)
}

// Command release builds a release of the product into a folder, without a registry:
// programs and archives for each platform, images as OCI layouts, the Helm chart,
// install.yaml, an SBOM, NOTICE, provenance and checksums. The same commit and
// version give the same bytes.
//
//	go -C tools/release run . -version v0.2.0 -out ../../out/v0.2.0
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// release is what is built, from what, into which folder.
type release struct {
	version   string // v0.2.0
	commit    string
	time      time.Time // of the commit: the only time in the artifacts
	root      string    // of the source tree
	out       string
	platforms []platform
	helm      string // program that renders install.yaml; "" leaves the file out
	sign      string // program that signs a file; "" signs nothing
}

var versionFormat = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	r := release{}
	flags.StringVar(&r.version, "version", "", "version, such as v0.2.0")
	flags.StringVar(&r.out, "out", "", "folder for the artifacts; it must not exist")
	flags.StringVar(&r.root, "root", "../..", "source tree")
	flags.StringVar(&r.helm, "helm", "", "helm, which renders install.yaml; without it there is none")
	flags.StringVar(&r.sign, "sign", "", "program that is run with each artifact's path, such as a script around cosign sign-blob")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64", "platforms to build for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !versionFormat.MatchString(r.version) {
		return fmt.Errorf("-version %q: use a version such as v0.2.0", r.version)
	}
	if r.out == "" {
		return errors.New("-out: name a folder")
	}
	var err error
	if r.platforms, err = parsePlatforms(*platforms); err != nil {
		return err
	}
	if err := r.readCommit(ctx); err != nil {
		return err
	}
	return r.make(ctx)
}

// readCommit reads the commit and its time. SOURCE_DATE_EPOCH overrides the time. A
// tree that differs from the commit is refused.
func (r *release) readCommit(ctx context.Context) error {
	changed, err := r.output(ctx, nil, "git", "status", "--porcelain")
	if err != nil {
		return fmt.Errorf("read the state of the tree: %w", err)
	}
	if changed != "" {
		return fmt.Errorf("the tree differs from its commit: commit or remove\n%s", changed)
	}
	out, err := r.output(ctx, nil, "git", "log", "-1", "--format=%H %ct")
	if err != nil {
		return fmt.Errorf("read the commit: %w", err)
	}
	commit, seconds, _ := strings.Cut(strings.TrimSpace(out), " ")
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("read the commit's time: %w", err)
	}
	r.commit, r.time = commit, time.Unix(unix, 0).UTC()
	return nil
}

// make builds all artifacts in a folder beside the wanted one and renames it last:
// an incomplete release has no folder.
func (r *release) make(ctx context.Context) error {
	if _, err := os.Stat(r.out); err == nil {
		return fmt.Errorf("%s exists", r.out)
	}
	final := r.out
	r.out = final + ".part"
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	programs, err := r.build(ctx)
	if err != nil {
		return err
	}
	modules, err := r.modules(ctx, programs)
	if err != nil {
		return err
	}
	notice, err := noticeOf(modules)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, "NOTICE"), notice, 0o644); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"write archives", func() error { return r.writeArchives(programs) }},
		{"write the krew manifest", r.writeKrew},
		{"write images", func() error { return r.writeImages(programs) }},
		{"write the SBOM", func() error { return r.writeSBOM(modules, programs) }},
		{"package the chart", r.writeChart},
		{"render install.yaml", func() error { return r.writeInstall(ctx) }},
		{"remove the programs", func() error { return os.RemoveAll(filepath.Join(r.out, "programs")) }},
		{"write checksums", r.writeChecksums},
		{"write provenance", r.writeProvenance},
		{"sign", func() error { return r.signAll(ctx) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return os.Rename(r.out, final)
}

// output runs a program in the source tree and returns what it prints.
func (r *release) output(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

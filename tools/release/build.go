package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// platform is what a program is built for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

func parsePlatforms(list string) (platforms []platform, err error) {
	for name := range strings.SplitSeq(list, ",") {
		goos, arch, ok := strings.Cut(name, "/")
		if !ok || goos != "linux" && goos != "darwin" || arch != "amd64" && arch != "arm64" {
			return nil, fmt.Errorf("platform %q: use linux or darwin, amd64 or arm64", name)
		}
		platforms = append(platforms, platform{goos, arch})
	}
	return platforms, nil
}

// program is a built file.
type program struct {
	name string
	platform
	path string
}

// commands are the programs of a platform. People run the first two; the others run
// in a cluster alone.
func commands(p platform) []string {
	if p.os == "linux" {
		return []string{"novawire", "pg-backup", "novawire-manager", "novawire-sidecar", "novawire-fluentbit"}
	}
	return []string{"novawire", "pg-backup"}
}

const versionPackage = "github.com/nova/novawire/internal/version"

// gcflags leave the generated code of the API types without inlining; with functions at
// multiples of 16 bytes that makes the manager smaller by 2.1 MB (ADR 0005). The
// Dockerfile has the same.
const gcflags = "k8s.io/api/...=-l"

func (r *release) ldflags() string {
	return fmt.Sprintf("-s -w -funcalign=16 -buildid= -X %s.Version=%s -X %s.Commit=%s", versionPackage, r.version, versionPackage, r.commit)
}

// build compiles every program for every platform. The Fluent Bit plugin is a C
// library: it is built where there is a C compiler for the platform.
func (r *release) build(ctx context.Context) (built []program, err error) {
	for _, p := range r.platforms {
		for _, name := range commands(p) {
			file := r.programPath(p, name)
			env := []string{"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOFLAGS=-buildvcs=false", "GOAMD64=v1", "GOARM64=v8.0"}
			if _, err := r.output(ctx, env, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-gcflags", gcflags, "-ldflags", r.ldflags(),
				"-o", file, "./cmd/"+name); err != nil {
				return nil, fmt.Errorf("build %s for %s: %w", name, p, err)
			}
			built = append(built, program{name, p, file})
		}
		if p.os != "linux" {
			continue
		}
		compiler := crossCompiler(p.arch)
		if compiler == "" {
			fmt.Fprintf(os.Stderr, "no C compiler for %s: its image of the Fluent Bit plugin is left out\n", p)
			continue
		}
		file := r.programPath(p, "out_novawire.so")
		env := []string{"CGO_ENABLED=1", "CC=" + compiler, "GOOS=" + p.os, "GOARCH=" + p.arch, "GOFLAGS=-buildvcs=false"}
		if _, err := r.output(ctx, env, "go", "build", "-trimpath", "-tags", "netgo,osusergo", "-buildmode=c-shared",
			"-ldflags", r.ldflags()+" -extldflags=-Wl,--build-id=none", "-o", file, "./cmd/novawire-fluentbit"); err != nil {
			return nil, fmt.Errorf("build the Fluent Bit plugin for %s: %w", p, err)
		}
		if err := os.Remove(strings.TrimSuffix(file, ".so") + ".h"); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		built = append(built, program{"out_novawire.so", p, file})
	}
	return built, nil
}

func (r *release) programPath(p platform, name string) string {
	path, err := filepath.Abs(filepath.Join(r.out, "programs", p.os+"-"+p.arch, name))
	if err != nil {
		return name
	}
	return path
}

// crossCompiler returns a C compiler for Linux on the architecture, or "".
func crossCompiler(arch string) string {
	triple := map[string]string{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}[arch]
	if path, err := exec.LookPath(triple); err == nil {
		return path
	}
	return ""
}

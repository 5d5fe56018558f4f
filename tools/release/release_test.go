package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTarball(t *testing.T) {
	files := []file{{"b/c/d", 0o755, []byte("1")}, {"a", 0o644, []byte("2")}, {"b/e", 0o644, nil}}
	first, err := tarball(files, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("does not depend on the order", func(t *testing.T) {
		slices.Reverse(files)
		second, err := tarball(files, at)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("differs: %v", err)
		}
	})
	t.Run("has each folder once, before its files, and no owner", func(t *testing.T) {
		var names []string
		for r := tar.NewReader(bytes.NewReader(first)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			names = append(names, h.Name)
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(at) {
				t.Errorf("%+v", h)
			}
		}
		if diff := cmp.Diff([]string{"a", "b/", "b/c/", "b/c/d", "b/e"}, names); diff != "" {
			t.Error(diff)
		}
	})
}

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"MIT over two lines":     {"Permission is hereby granted, free of charge,\n  to any person obtaining a copy", "MIT"},
		"BSD with three":         {"Redistribution and use in source and binary forms … Neither the name of", "BSD-3-Clause"},
		"BSD with two":           {"// Redistribution and use in source\n// and binary forms", "BSD-2-Clause"},
		"Apache":                 {"Apache License\n Version 2.0, January 2004", "Apache-2.0"},
		"MPL":                    {"Mozilla Public License, version 2.0", "MPL-2.0"},
		"ISC":                    {"Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice", "ISC"},
		"GPL":                    {"GNU GENERAL PUBLIC LICENSE\nVersion 3\nEveryone is permitted to copy and distribute verbatim copies", "GPL"},
		"AGPL names the GPL":     {"GNU AFFERO GENERAL PUBLIC LICENSE … GNU General Public License … Everyone is permitted to copy and distribute verbatim copies", "AGPL-3.0"},
		"LGPL names the GPL":     {"GNU LESSER GENERAL PUBLIC LICENSE Version 3", "LGPL"},
		"Business Source":        {"Business Source License 1.1", "BUSL-1.1"},
		"Server Side Public":     {"Server Side Public License VERSION 1", "SSPL-1.0"},
		"something of their own": {"You may look at this.", ""},
	} {
		if got := classify(c.content); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestModule_read(t *testing.T) {
	const mit, gpl = "Permission is hereby granted, free of charge, to any person obtaining a copy", "GNU General Public License. Everyone is permitted to copy and distribute verbatim copies"
	for name, c := range map[string]struct {
		files         map[string]string
		license, want string // or what the error has
	}{
		"one license":                         {map[string]string{"LICENSE": mit}, "MIT", ""},
		"British spelling and a suffix":       {map[string]string{"LICENCE.md": mit}, "MIT", ""},
		"two licenses":                        {map[string]string{"LICENSE": mit, "LICENSE-APACHE": "Apache License Version 2.0"}, "MIT AND Apache-2.0", ""},
		"a notice is no license":              {map[string]string{"NOTICE": mit}, "", "no license that is known"},
		"none":                                {nil, "", "no license that is known"},
		"one that nobody knows":               {map[string]string{"LICENSE": "Ask me."}, "", "no license that is known"},
		"copyleft":                            {map[string]string{"COPYING": gpl}, "", "GPL (COPYING) is not allowed"},
		"copyleft beside one that is allowed": {map[string]string{"LICENSE": mit, "LICENSE.gpl": gpl}, "", "not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range c.files {
				write(t, filepath.Join(dir, file), content)
			}
			m := module{path: "example.com/m", version: "v1.0.0"}
			err := m.read(dir)
			if c.want == "" && (err != nil || m.license != c.license) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("license %q, %v", m.license, err)
			}
		})
	}
}

// TestProductLicenses reads the license of every module that a program of the product
// links on any platform.
func TestProductLicenses(t *testing.T) {
	r := release{root: "../.."}
	linked := map[string]module{}
	for _, goos := range []string{"linux", "darwin"} {
		out, err := r.output(t.Context(), []string{"GOOS=" + goos, "CGO_ENABLED=0"}, "go", "list", "-deps", "-tags", "grpcnotrace",
			"-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", "./cmd/...")
		if err != nil {
			t.Fatal(err)
		}
		for name := range strings.FieldsSeq(out) {
			path, version, _ := strings.Cut(name, "@")
			linked[name] = module{path: path, version: version}
		}
	}
	modules, err := r.licensed(t.Context(), linked)
	if err != nil {
		t.Error(err)
	}
	if len(modules) < 50 {
		t.Errorf("only %d modules", len(modules))
	}
}

// sample is a source tree of the product's shape with programs that print a line.
func sample(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "sample")
	for name, content := range map[string]string{
		"go.mod":                      "module github.com/nova/novawire\n\ngo 1.26\n",
		"LICENSE":                     "Apache License Version 2.0\n",
		"internal/version/version.go": "package version\n\nvar Version, Commit string\n",
		"charts/novawire/Chart.yaml":  "apiVersion: v2\nname: novawire\nversion: 0.0.1\nappVersion: 0.0.1\n",
		"charts/novawire/ci/a.yaml":   "a: b\n",
		"charts/novawire/values.yaml": "a: b\n",
	} {
		write(t, filepath.Join(root, name), content)
	}
	const main = "package main\n\nimport \"github.com/nova/novawire/internal/version\"\n\nfunc main() { println(version.Version, version.Commit) }\n"
	for _, name := range commands(platform{"linux", "amd64"}) {
		write(t, filepath.Join(root, "cmd", name, "main.go"), main)
	}
	write(t, filepath.Join(root, "cmd/novawire-fluentbit/shim.go"), "//go:build cgo\n\npackage main\n\nimport \"C\"\n\n//export Answer\nfunc Answer() C.int { return 42 }\n")
	git(t, root, "init", "--quiet")
	git(t, root, "add", ".")
	git(t, root, "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "sample")
	return root
}

func TestRelease(t *testing.T) {
	root := sample(t)
	clone := filepath.Join(t.TempDir(), "elsewhere", "with a longer name")
	git(t, ".", "clone", "--quiet", root, clone)
	out := t.TempDir()
	first, second := filepath.Join(out, "first"), filepath.Join(out, "second")
	for dir, from := range map[string]string{first: root, second: clone} {
		if dir == second {
			t.Setenv("GOCACHE", t.TempDir()) // compiled again, from an empty cache
		}
		if err := run(t.Context(), []string{"-version", "v1.2.3", "-root", from, "-out", dir, "-platforms", "linux/amd64,linux/arm64"}); err != nil {
			t.Fatal(err)
		}
	}
	got := contents(t, first)
	t.Run("two builds in two folders are equal", func(t *testing.T) {
		other := contents(t, second)
		for name, data := range got {
			if !bytes.Equal(data, other[name]) {
				t.Errorf("%s differs", name)
			}
		}
		if len(got) != len(other) {
			t.Errorf("%d and %d files", len(got), len(other))
		}
	})
	t.Run("has every artifact", func(t *testing.T) {
		var names []string
		for name := range got {
			names = append(names, name)
		}
		slices.Sort(names)
		if diff := cmp.Diff([]string{
			"NOTICE", "SHA256SUMS", "novawire-1.2.3.tgz", "novawire-cli-v1.2.3.oci.tar", "novawire-fluentbit-v1.2.3.oci.tar", "novawire-sidecar-v1.2.3.oci.tar",
			"novawire-v1.2.3-linux-amd64.tar.gz", "novawire-v1.2.3-linux-arm64.tar.gz", "novawire-v1.2.3.cdx.json", "novawire-v1.2.3.oci.tar", "novawire.yaml",
			"pg-backup-v1.2.3-linux-amd64.tar.gz", "pg-backup-v1.2.3-linux-arm64.tar.gz", "pg-backup-v1.2.3.oci.tar", "provenance.intoto.json",
		}, names); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("checksums fit", func(t *testing.T) {
		cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", checksums)
		cmd.Dir = first
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("the program of the archive knows its version", func(t *testing.T) {
		files, err := readAll(got["novawire-v1.2.3-linux-amd64.tar.gz"])
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(t.TempDir(), "novawire")
		if err := os.WriteFile(program, files["novawire-v1.2.3-linux-amd64/novawire"], 0o755); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command(program).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(said), "v1.2.3 ") {
			t.Errorf("%s, %v", said, err)
		}
	})
	t.Run("the krew manifest names the archives by their checksums", func(t *testing.T) {
		manifest := string(got["novawire.yaml"])
		for _, arch := range []string{"amd64", "arm64"} {
			archive := "novawire-v1.2.3-linux-" + arch
			sum := sha256.Sum256(got[archive+".tar.gz"])
			want := "uri: https://github.com/nova/novawire/releases/download/v1.2.3/" + archive + ".tar.gz\n      sha256: " + hex.EncodeToString(sum[:])
			files, err := readAll(got[archive+".tar.gz"])
			if err != nil || !strings.Contains(manifest, want) || files[archive+"/kubectl_complete-novawire"] == nil {
				t.Errorf("%v: no %q in\n%s", err, want, manifest)
			}
		}
	})
	t.Run("the chart has the version and no values of tests", func(t *testing.T) {
		files, err := readAll(got["novawire-1.2.3.tgz"])
		if err != nil || !strings.Contains(string(files["novawire/Chart.yaml"]), "appVersion: 1.2.3\n") || files["novawire/ci/a.yaml"] != nil {
			t.Errorf("%q, %v", files, err)
		}
	})
	t.Run("the SBOM is valid", func(t *testing.T) {
		var bom cdx.BOM
		if err := cdx.NewBOMDecoder(bytes.NewReader(got["novawire-v1.2.3.cdx.json"]), cdx.BOMFileFormatJSON).Decode(&bom); err != nil || len(*bom.Components) != 11 && len(*bom.Components) != 12 {
			t.Errorf("%v, %+v", err, bom.Components)
		}
	})
	for _, i := range images {
		t.Run("the layout of "+i.name+" is complete", func(t *testing.T) {
			checkLayout(t, got[i.name+"-v1.2.3.oci.tar"], i)
		})
	}
	t.Run("a tree that differs from its commit is refused", func(t *testing.T) {
		write(t, filepath.Join(clone, "new.go"), "package new\n")
		err := run(t.Context(), []string{"-version", "v1.2.3", "-root", clone, "-out", filepath.Join(out, "third")})
		if err == nil || !strings.Contains(err.Error(), "new.go") {
			t.Error(err)
		}
	})
	t.Run("a folder that exists is refused", func(t *testing.T) {
		if err := run(t.Context(), []string{"-version", "v1.2.3", "-root", root, "-out", first}); err == nil {
			t.Error("it was overwritten")
		}
	})
}

// checkLayout follows the index to every blob and compares digests and sizes.
func checkLayout(t *testing.T, packed []byte, i image) {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		data := make([]byte, h.Size)
		if _, err := io.ReadFull(r, data); err != nil {
			t.Fatal(err)
		}
		files[h.Name] = data
	}
	blob := func(d descriptor) []byte {
		data := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		sum := sha256.Sum256(data)
		if "sha256:"+hex.EncodeToString(sum[:]) != d.Digest || int64(len(data)) != d.Size {
			t.Fatalf("blob %s is not there or differs", d.Digest)
		}
		return data
	}
	decode := func(data []byte, into any) {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	var top, platforms index
	decode(files["index.json"], &top)
	decode(blob(top.Manifests[0]), &platforms)
	if len(platforms.Manifests) == 0 {
		t.Fatal("no platform")
	}
	for _, d := range platforms.Manifests {
		var m manifest
		decode(blob(d), &m)
		var c imageConfig
		decode(blob(m.Config), &c)
		layer, err := readAll(blob(m.Layers[0]))
		if err != nil {
			t.Fatal(err)
		}
		if layer[strings.TrimPrefix(i.entrypoint, "/")] == nil || layer[authorities[1:]] == nil {
			t.Errorf("%s: the layer lacks the program or the authorities", d.Platform.Architecture)
		}
		if c.Config.User != "65532:65532" || c.Architecture != d.Platform.Architecture || c.Config.Entrypoint[0] != i.entrypoint {
			t.Errorf("%+v", c)
		}
	}
}

func TestRun_refuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no version":           {"-out", "x"},
		"a version without v":  {"-version", "1.2.3", "-out", "x"},
		"half a version":       {"-version", "v1.2", "-out", "x"},
		"no folder":            {"-version", "v1.2.3"},
		"an unknown platform":  {"-version", "v1.2.3", "-out", "x", "-platforms", "windows/amd64"},
		"an unknown processor": {"-version", "v1.2.3", "-out", "x", "-platforms", "linux/riscv64"},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSignAll(t *testing.T) {
	dir := t.TempDir()
	r := release{out: filepath.Join(dir, "out"), sign: filepath.Join(dir, "sign")}
	write(t, filepath.Join(r.out, "a"), "1")
	write(t, r.sign, "#!/bin/sh\ntouch \"$1.sig\"\n")
	if err := os.Chmod(r.sign, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.signAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(r.out, "a.sig")); err != nil {
		t.Error(err)
	}
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := filesBelow(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		all[f.name] = f.data
	}
	return all
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is an entry of an archive.
type file struct {
	name string
	mode int64
	data []byte
}

// tarball returns a tar archive whose bytes depend on the files alone: they are
// sorted, belong to nobody and have one time. Folders are entries too.
func tarball(files []file, at time.Time) ([]byte, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	folders := map[string]bool{".": true}
	for _, f := range files {
		for _, folder := range parents(f.name) {
			if folders[folder] {
				continue
			}
			folders[folder] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX}); err != nil {
				return nil, err
			}
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: at, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// parents returns the folders above a name, the outermost first.
func parents(name string) (folders []string) {
	for folder := path.Dir(name); folder != "." && folder != "/"; folder = path.Dir(folder) {
		folders = append([]string{folder}, folders...)
	}
	return folders
}

// compress returns the gzip form, which has no name and no time.
func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// kubectlComplete is what kubectl runs to complete the arguments of its plugin novawire.
const kubectlComplete = "#!/bin/sh\nexec kubectl novawire __complete \"$@\"\n"

// writeArchives packs the programs that people run, with the license, NOTICE and
// the shell shim of the backup script.
func (r *release) writeArchives(programs []program) error {
	notice, err := os.ReadFile(filepath.Join(r.out, "NOTICE"))
	if err != nil {
		return err
	}
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return err
	}
	for _, p := range programs {
		if p.name != "novawire" && p.name != "pg-backup" {
			continue
		}
		data, err := os.ReadFile(p.path)
		if err != nil {
			return err
		}
		folder := fmt.Sprintf("%s-%s-%s-%s", p.name, r.version, p.os, p.arch)
		files := []file{
			{folder + "/" + p.name, 0o755, data},
			{folder + "/LICENSE", 0o644, license},
			{folder + "/NOTICE", 0o644, notice},
		}
		if p.name == "novawire" {
			files = append(files, file{folder + "/kubectl_complete-novawire", 0o755, []byte(kubectlComplete)})
		}
		packed, err := tarball(files, r.time)
		if err != nil {
			return err
		}
		if packed, err = compress(packed); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.out, folder+".tar.gz"), packed, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// filesBelow returns the regular files of a folder with the given prefix.
func filesBelow(folder, prefix string) (files []file, err error) {
	err = filepath.WalkDir(folder, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(folder, name)
		files = append(files, file{path.Join(prefix, filepath.ToSlash(inside)), 0o644, data})
		return err
	})
	return files, err
}

func readAll(tarGz []byte) (map[string][]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(tarGz))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a Go module that a program links.
type module struct {
	path, version, sum string
	license            string // SPDX identifier
	texts              []text // of its license and notice files
}

type text struct{ name, content string }

// allowed are the licenses that a linked module may have.
var allowed = []string{"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0", "0BSD", "CC0-1.0", "Unlicense"}

// patterns recognise licenses by sentences that only they have, in text of single
// spaces and small letters. The one whose first sentence comes first in the text wins:
// licenses mention each other. Of several at one place it is the first here.
var patterns = []struct {
	license string
	has     []string
}{
	{"AGPL-3.0", []string{"gnu affero general public license"}},
	{"LGPL", []string{"gnu lesser general public license", "version"}},
	{"GPL", []string{"gnu general public license", "everyone is permitted to copy and distribute verbatim copies"}},
	{"SSPL-1.0", []string{"server side public license"}},
	{"BUSL-1.1", []string{"business source license"}},
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "may not be used to endorse or promote products"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy"}},
	{"CC0-1.0", []string{"cc0 1.0 universal"}},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
}

var (
	space       = regexp.MustCompile(`[\s*#]+|//`)
	licenseFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|unlicense)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents|authors)([.-].*)?$`)
)

// classify returns the SPDX identifier of a license text, or "" if it is unknown.
func classify(content string) string {
	flat := strings.Join(strings.Fields(strings.ToLower(space.ReplaceAllString(content, " "))), " ")
	license, first := "", len(flat)
	for _, p := range patterns {
		at := strings.Index(flat, p.has[0])
		if at >= 0 && at < first && !slices.ContainsFunc(p.has, func(sentence string) bool { return !strings.Contains(flat, sentence) }) {
			license, first = p.license, at
		}
	}
	return license
}

// modules returns the modules that the programs link, sorted, with their licenses.
func (r *release) modules(ctx context.Context, programs []program) ([]module, error) {
	linked := map[string]module{}
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p.path)
		if err != nil {
			return nil, fmt.Errorf("read what %s links: %w", p.name, err)
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			linked[m.Path+"@"+m.Version] = module{path: m.Path, version: m.Version, sum: m.Sum}
		}
	}
	return r.licensed(ctx, linked)
}

// licensed reads the license files of modules from the module cache.
func (r *release) licensed(ctx context.Context, linked map[string]module) ([]module, error) {
	names := slices.Sorted(maps.Keys(linked))
	if len(names) == 0 {
		return nil, nil
	}
	out, err := r.output(ctx, []string{"GOFLAGS=-mod=mod"}, "go", append([]string{"mod", "download", "-json"}, names...)...)
	if err != nil {
		return nil, err
	}
	var all []module
	var problems []error
	for decoder := json.NewDecoder(strings.NewReader(out)); ; {
		var downloaded struct{ Path, Version, Dir string }
		if err := decoder.Decode(&downloaded); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		m := linked[downloaded.Path+"@"+downloaded.Version]
		if err := m.read(downloaded.Dir); err != nil {
			problems = append(problems, err)
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.path+"@"+a.version, b.path+"@"+b.version) })
	return all, errors.Join(problems...)
}

// read reads the license of the module in dir, and refuses one that is unknown or not
// allowed.
func (m *module) read(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		isLicense := licenseFile.MatchString(entry.Name())
		if entry.IsDir() || !isLicense && !noticeFile.MatchString(entry.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		m.texts = append(m.texts, text{entry.Name(), string(content)})
		if found := classify(string(content)); isLicense && found != "" {
			if !slices.Contains(allowed, found) {
				return fmt.Errorf("%s@%s: the license %s (%s) is not allowed", m.path, m.version, found, entry.Name())
			}
			if m.license == "" {
				m.license = found
			} else if m.license != found {
				m.license += " AND " + found
			}
		}
	}
	if m.license == "" {
		return fmt.Errorf("%s@%s: no license that is known: allowed are %s", m.path, m.version, strings.Join(allowed, ", "))
	}
	return nil
}

// noticeOf returns NOTICE: the modules with their licenses, then the texts, each once.
func noticeOf(modules []module) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprint(&out, "Novawire\nLicensed under the Apache License, Version 2.0.\n\nThe programs link the following modules.\n\n")
	users := map[string][]string{}
	var order []string
	for _, m := range modules {
		fmt.Fprintf(&out, "%s %s (%s)\n", m.path, m.version, m.license)
		for _, t := range m.texts {
			content := strings.TrimSpace(strings.ReplaceAll(t.content, "\r\n", "\n"))
			if users[content] == nil {
				order = append(order, content)
			}
			users[content] = append(users[content], m.path+"/"+t.name)
		}
	}
	for _, content := range order {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[content], "\n"), content)
	}
	return out.Bytes(), nil
}

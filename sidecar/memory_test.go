package sidecar

import (
	"testing"
	"testing/fstest"
)

func TestReadMemory(t *testing.T) {
	group := func(name, content string) fstest.MapFS {
		return fstest.MapFS{name: &fstest.MapFile{Data: []byte(content)}}
	}
	cases := map[string]struct {
		group             fstest.MapFS
		limit, hard, soft int64 // soft and hard in MiB
	}{
		"version 2":                    {group("memory.max", "134217728\n"), 128 << 20, 89, 72},
		"version 2 without a limit":    {group("memory.max", "max\n"), 64 << 20, 44, 36},
		"version 1":                    {group("memory/memory.limit_in_bytes", "33554432\n"), 32 << 20, 22, 18},
		"version 1 without a limit":    {group("memory/memory.limit_in_bytes", "9223372036854771712\n"), 64 << 20, 44, 36},
		"no control group":             {fstest.MapFS{}, 64 << 20, 44, 36},
		"less than a sidecar can have": {group("memory.max", "1048576"), 16 << 20, 11, 9},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := readMemory(func(string) (string, bool) { return "", false }, c.group)
			if m.limit != c.limit || m.hard() != c.hard || m.hard()-m.spike() != c.soft {
				t.Errorf("limit %d, hard %d MiB, soft %d MiB; want %d, %d, %d", m.limit, m.hard(), m.hard()-m.spike(), c.limit, c.hard, c.soft)
			}
		})
	}
}

// Package version tells which build of the product this is.
package version

import "runtime/debug"

// Version and Commit are stamped by the build:
//
//	-ldflags "-X github.com/nova/novawire/internal/version.Version=v0.1.0 -X github.com/nova/novawire/internal/version.Commit=0123abc"
var (
	Version = ""
	Commit  = ""
)

// String is what --version prints: the version and, where known, the commit.
// A build without a stamp answers with what the Go tool recorded of it.
func String() string {
	v, c := Version, Commit
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && c == "" {
				c = setting.Value
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	if c == "" {
		return v
	}
	return v + " (" + c[:min(len(c), 12)] + ")"
}

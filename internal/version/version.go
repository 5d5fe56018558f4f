// Package version holds the version of the build.
package version

import "runtime/debug"

// Version and Commit are set by the linker:
//
//	-ldflags "-X github.com/nova/novawire/internal/version.Version=v0.1.0 -X github.com/nova/novawire/internal/version.Commit=0123abc"
var (
	Version = ""
	Commit  = ""
)

// String returns the text for --version: the version and, if known, the commit. If
// the linker set neither, it returns what the Go tool recorded.
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

package config

import (
	"path"
	"strings"

	"github.com/nova/novawire/internal/version"
)

// EnvImage names the environment variable that holds the reference of the manager's
// own image. The manifests set it beside the image.
const EnvImage = "NOVAWIRE_IMAGE"

// useImages sets the images of the sidecar and of pg-backup: those of the registry
// and the tag of the manager's own image. If that has a digest or no tag, the tag is
// the version of this build. Without either, the defaults stay. So an upgrade of the
// manager upgrades them too, and a mirror is named in one place.
func (c *Manager) useImages(manager string) {
	name, tag := splitImage(manager)
	if tag == "" {
		tag = version.Version
	}
	for _, image := range []*string{&c.Injection.Sidecar.Image, &c.Backup.Image} {
		standard, standardTag := splitImage(*image)
		if name != "" {
			standard = path.Dir(name) + "/" + path.Base(standard)
		}
		if tag != "" {
			standardTag = tag
		}
		*image = strings.TrimPrefix(standard, "./") + ":" + standardTag
	}
}

// splitImage returns the name and the tag of an image reference, without its digest.
// A reference with a digest has no tag.
func splitImage(reference string) (name, tag string) {
	name, _, digested := strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, tag = name[:colon], name[colon+1:]
	}
	if digested {
		tag = ""
	}
	return name, tag
}

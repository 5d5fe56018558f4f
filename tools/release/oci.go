package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Media types of the OCI image specification 1.1.
const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *imagePlatform    `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type imagePlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type imageConfig struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       struct {
		User       string            `json:"User"`
		Entrypoint []string          `json:"Entrypoint"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// image is an image of the product: the programs that it holds, by path.
type image struct {
	name       string
	entrypoint string
	files      map[string]string // path in the image: program
}

// images are those of the Dockerfile that need no base image. The pg-backup image
// made here installs the program into PostgreSQL images, as the controller's Jobs do;
// it has no PostgreSQL clients of its own, which the Dockerfile's has.
var images = []image{
	{"novawire", "/novawire-manager", map[string]string{"novawire-manager": "novawire-manager"}},
	{"novawire-cli", "/novawire", map[string]string{"novawire": "novawire"}},
	{"novawire-sidecar", "/novawire-sidecar", map[string]string{"novawire-sidecar": "novawire-sidecar"}},
	{"pg-backup", "/usr/local/bin/pg-backup", map[string]string{"usr/local/bin/pg-backup": "pg-backup"}},
	{"novawire-fluentbit", "/novawire-fluentbit", map[string]string{"novawire-fluentbit": "novawire-fluentbit", "out_novawire.so": "out_novawire.so"}},
}

// authorities is the file of trusted authorities in every image.
const authorities = "/etc/ssl/certs/ca-certificates.crt"

// layout is an OCI image layout under construction.
type layout struct{ dir string }

// add stores a blob and returns its descriptor.
func (l layout) add(mediaType string, data []byte) (descriptor, error) {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	file := filepath.Join(l.dir, "blobs", "sha256", digest)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return descriptor{}, err
	}
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: int64(len(data))}, os.WriteFile(file, data, 0o644)
}

func (l layout) addJSON(mediaType string, value any) (descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	return l.add(mediaType, data)
}

// writeImages writes one archive of an OCI layout for each image, with a manifest for
// each platform.
func (r *release) writeImages(programs []program) error {
	built := map[string]string{}
	for _, p := range programs {
		built[p.String()+" "+p.name] = p.path
	}
	trusted, err := os.ReadFile(authorities)
	if err != nil {
		return fmt.Errorf("read trusted authorities: %w", err)
	}
	for _, i := range images {
		l := layout{filepath.Join(r.out, "image")}
		var manifests []descriptor
		for _, p := range r.platforms {
			files, ok, err := i.filesFor(p, built)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			m, err := r.addImage(l, i, p, append(files, file{authorities[1:], 0o644, trusted}))
			if err != nil {
				return fmt.Errorf("%s for %s: %w", i.name, p, err)
			}
			manifests = append(manifests, m)
		}
		if err := r.finishLayout(l, i.name, manifests); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
	}
	return nil
}

// filesFor returns the image's programs, and whether all were built for the platform.
func (i image) filesFor(p platform, built map[string]string) (files []file, ok bool, err error) {
	if p.os != "linux" {
		return nil, false, nil
	}
	for name, program := range i.files {
		path, there := built[p.String()+" "+program]
		if !there {
			return nil, false, nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, false, err
		}
		files = append(files, file{name, 0o755, data})
	}
	return files, true, nil
}

func (r *release) addImage(l layout, i image, p platform, files []file) (descriptor, error) {
	packed, err := tarball(files, r.time)
	if err != nil {
		return descriptor{}, err
	}
	sum := sha256.Sum256(packed)
	zipped, err := compress(packed)
	if err != nil {
		return descriptor{}, err
	}
	layer, err := l.add(mediaLayer, zipped)
	if err != nil {
		return descriptor{}, err
	}
	c := imageConfig{Created: r.time, Architecture: p.arch, OS: p.os}
	c.Config.User = "65532:65532"
	c.Config.Entrypoint = []string{i.entrypoint}
	c.Config.Labels = r.annotations(i.name)
	c.RootFS.Type = "layers"
	c.RootFS.DiffIDs = []string{"sha256:" + hex.EncodeToString(sum[:])}
	config, err := l.addJSON(mediaConfig, c)
	if err != nil {
		return descriptor{}, err
	}
	m, err := l.addJSON(mediaManifest, manifest{2, mediaManifest, config, []descriptor{layer}, r.annotations(i.name)})
	m.Platform = &imagePlatform{p.arch, p.os}
	return m, err
}

func (r *release) annotations(name string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    name,
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.revision": r.commit,
		"org.opencontainers.image.source":   "https://github.com/nova/novawire",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
}

// finishLayout writes the index that names the manifests and packs the folder as
// NAME-VERSION.oci.tar, which skopeo, crane, ctr and docker load read.
func (r *release) finishLayout(l layout, name string, manifests []descriptor) error {
	if len(manifests) == 0 {
		return nil
	}
	platforms, err := l.addJSON(mediaIndex, index{2, mediaIndex, manifests})
	if err != nil {
		return err
	}
	platforms.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": r.version,
		"io.containerd.image.name":          "ghcr.io/nova/" + name + ":" + r.version,
	}
	top, err := json.Marshal(index{2, mediaIndex, []descriptor{platforms}})
	if err != nil {
		return err
	}
	files, err := filesBelow(l.dir, "")
	if err != nil {
		return err
	}
	files = append(files, file{"index.json", 0o644, top}, file{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)})
	packed, err := tarball(files, r.time)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, name+"-"+r.version+".oci.tar"), packed, 0o644)
}

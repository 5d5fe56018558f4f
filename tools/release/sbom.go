package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes a CycloneDX document that names each module and which program
// links it.
func (r *release) writeSBOM(modules []module, programs []program) error {
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(r.version + r.commit)
	root := cdx.Component{BOMRef: "novawire", Type: cdx.ComponentTypeApplication, Name: "novawire", Version: r.version, PackageURL: "pkg:golang/github.com/nova/novawire@" + r.version}
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format(time.RFC3339), Component: &root}
	var components []cdx.Component
	for _, m := range modules {
		components = append(components, m.component())
	}
	var dependencies []cdx.Dependency
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p.path)
		if err != nil {
			return err
		}
		ref := p.name + " " + p.String()
		components = append(components, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: p.name, Version: r.version, Properties: &[]cdx.Property{
			{Name: "go:version", Value: info.GoVersion}, {Name: "platform", Value: p.String()},
		}})
		var links []string
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			links = append(links, purl(d.Path, d.Version))
		}
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &links})
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	out, err := os.Create(filepath.Join(r.out, "novawire-"+r.version+".cdx.json"))
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if err := cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return out.Close()
}

func (m module) component() cdx.Component {
	c := cdx.Component{BOMRef: purl(m.path, m.version), Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version, PackageURL: purl(m.path, m.version)}
	if strings.Contains(m.license, " AND ") {
		c.Licenses = &cdx.Licenses{{Expression: m.license}}
	} else {
		c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: m.license}}}
	}
	return c
}

func purl(path, version string) string { return "pkg:golang/" + path + "@" + version }

// serial returns a UUID that depends on the name alone.
func serial(name string) string {
	sum := sha256.Sum256([]byte(name))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8, variant 1
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

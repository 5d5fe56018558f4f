package preview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/workload"
)

// Document is one document of a file.
type Document struct {
	file    string
	index   int // from 1
	text    []byte
	node    *yamlnode.Node
	found   []*object
	changed bool
	made    bool // by a controller: no file holds it
}

// object is what a document holds: one, or the items of a List.
type object struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   objectMetadata `json:"metadata"`

	document *Document
	node     *yamlnode.Node
	raw      json.RawMessage
}

type objectMetadata struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Namespace    string            `json:"namespace"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
}

// Read reads files, directories (all .yaml, .yml and .json below, in order of
// their names, but for kustomization files) and "-", which is stdin. It tells
// every mistake, and returns the documents that have none all the same.
func Read(paths []string, stdin io.Reader) ([]*Document, error) {
	var documents []*Document
	var mistakes Mistakes
	for _, path := range paths {
		files, err := expand(path)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		for _, file := range files {
			text, err := readFile(file, stdin)
			if err != nil {
				mistakes = append(mistakes, err)
				continue
			}
			found, wrong := parse(file, text)
			documents, mistakes = append(documents, found...), append(mistakes, wrong...)
		}
	}
	return documents, mistakes.orNil()
}

func readFile(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

func expand(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	var wrong *fs.PathError
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s: %w", path, wrong.Err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && isManifest(entry.Name()) {
			files = append(files, name)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: holds no .yaml, .yml or .json file", path)
	}
	return files, err
}

func isManifest(name string) bool {
	if strings.HasPrefix(name, "kustomization.") {
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// parse splits a file into documents and finds the objects of each. Only
// documents that hold something count.
func parse(file string, text []byte) (documents []*Document, mistakes Mistakes) {
	count := 0
	for _, part := range split(text) {
		d := &Document{file: file, index: count + 1, text: part}
		err := d.parse()
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s:%d: %w", file, d.index, err))
		}
		if err != nil || d.node != nil {
			count++
		}
		documents = append(documents, d)
	}
	return documents, mistakes
}

// split cuts at document markers: lines that are "---", or begin with it and a
// blank (YAML 1.2, section 9.1.4).
func split(text []byte) (parts [][]byte) {
	var part []byte
	for line := range bytes.Lines(text) {
		rest, marker := bytes.CutPrefix(line, []byte("---"))
		if !marker || len(bytes.TrimSpace(rest)) == len(bytes.TrimRight(rest, "\r\n")) && len(bytes.TrimSpace(rest)) > 0 {
			part = append(part, line...)
			continue
		}
		parts = append(parts, part)
		part = nil
		if len(bytes.TrimSpace(rest)) > 0 {
			part = append(part, bytes.TrimLeft(rest, " \t")...)
		}
	}
	return append(parts, part)
}

func (d *Document) parse() error {
	var node yamlnode.Node
	if err := yamlnode.Unmarshal(d.text, &node); err != nil {
		return plain(err)
	}
	if node.IsZero() || len(node.Content) == 0 || node.Content[0].Tag == "!!null" {
		return nil // comments, or nothing
	}
	raw, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		return plain(err)
	}
	if indirect(&node) { // aliases would be patched in every place that they stand for
		if err := yamlnode.Unmarshal(raw, &node); err != nil {
			return plain(err)
		}
		blockStyle(&node)
	}
	d.node = &node
	return d.collect(node.Content[0], raw)
}

// collect finds the object in a node, or the items of a List.
func (d *Document) collect(node *yamlnode.Node, raw []byte) error {
	o := object{document: d, node: node, raw: raw}
	err := json.Unmarshal(raw, &o)
	if o.Kind == "" || o.APIVersion == "" {
		return errors.New("no Kubernetes object: apiVersion and kind are needed")
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s/%s: %s: a %s where a %s is needed", o.Kind, o.name(), wrong.Field, wrong.Value, wrong.Type)
	}
	items := child(node, "items")
	if !strings.HasSuffix(o.Kind, "List") || items == nil {
		d.found = append(d.found, &o)
		return nil
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("%s: %w", o.Kind, err)
	}
	for i, item := range list.Items {
		if err := d.collect(items.Content[i], item); err != nil {
			return fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return nil
}

func (d *Document) objects() []*object { return d.found }

// plain makes one line of a YAML library's error.
func plain(err error) error {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	return errors.New(strings.Join(strings.Fields(strings.TrimPrefix(text, "yaml: ")), " "))
}

func (o *object) name() string {
	if o.Metadata.Name != "" {
		return o.Metadata.Name
	}
	return o.Metadata.GenerateName
}

func (o *object) where() string {
	return fmt.Sprintf("%s:%d: %s/%s", o.document.file, o.document.index, o.Kind, o.name())
}

// owner is the workload as the engine has to know it; a bare pod's is in the pod.
func (o *object) owner() workload.Owner {
	if o.Kind == "Pod" {
		return workload.Owner{}
	}
	return workload.Owner{Kind: o.Kind, Name: strings.TrimSuffix(o.name(), "-")}
}

// template finds the pod template, as a node and as JSON.
func (o *object) template(path []string) (*yamlnode.Node, []byte, error) {
	node, raw := o.node, []byte(o.raw)
	for _, key := range path {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, nil, fmt.Errorf("%s: no object", strings.Join(path, "."))
		}
		node, raw = child(node, key), fields[key]
		if node == nil {
			return nil, nil, fmt.Errorf("%s is missing", strings.Join(path, "."))
		}
	}
	return node, raw, nil
}

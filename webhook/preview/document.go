package preview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/workload"
)

// Document is one document of a file.
type Document struct {
	file      string
	lead      []byte
	text      []byte
	line      int // of the first line of text in the file, from 1
	json      bool
	raw       []byte // as JSON
	objects   []*object
	wired     []byte       // the text with all changes; nil if nothing changes
	edits     []udiff.Edit // from text to wired
	rewritten bool         // the changes could not be made in place
	generated bool         // made by a controller; in no file
	mistakes  Mistakes
	nodes     *yamlnode.Node // see tree
}

// object is a Kubernetes object of a document: the only one, or an item of a List.
type object struct {
	header
	document    *Document
	path        []string // in the document
	offset      int      // of a JSON object in the text
	line        int      // in the file; 0 if it was not looked for
	raw         []byte
	templates   []template
	uninspected []string // paths of containers that are in no pod template
}

type header struct {
	APIVersion string
	Kind       string
	Metadata   objectMetadata
}

type objectMetadata struct {
	Name         string
	GenerateName string
	Namespace    string
	Labels       map[string]string
	Annotations  map[string]string
}

// parse finds the objects of a document.
func (d *Document) parse() {
	raw := d.text
	if !d.json {
		converted, err := yaml.YAMLToJSONStrict(d.text)
		if err != nil {
			line, message := yamlError(err)
			d.fail(d.line+line-1, errors.New("not valid YAML: "+message))
			return
		}
		raw = converted
	}
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		return // comments, or nothing
	}
	d.raw = raw
	o := &object{document: d, raw: raw, line: d.line + leadingLines(d.text)}
	if d.json {
		o.offset = bytes.IndexByte(d.text, '{')
	}
	d.collect(o, header{})
}

// leadingLines returns how many lines of blanks and comments a text begins with.
func leadingLines(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' {
			return n
		}
		n++
	}
	return 0
}

func (d *Document) fail(line int, err error) {
	d.mistakes = append(d.mistakes, fmt.Errorf("%s:%d: %w", d.file, line, err))
}

// collect adds an object, or the items of a List. list is the header of the List that
// the object is an item of.
func (d *Document) collect(o *object, list header) {
	items, err := o.readHeader()
	if err == nil && o.Kind == "" && strings.HasSuffix(list.Kind, "List") && list.Kind != "List" {
		o.Kind, o.APIVersion = strings.TrimSuffix(list.Kind, "List"), list.APIVersion // as in a PodList
	}
	switch {
	case err != nil && o.Kind != "":
		o.fail(fmt.Errorf("%s/%s: %w", o.Kind, o.name(), err))
		return
	case err != nil:
		o.fail(err)
		return
	case o.Kind == "" || o.APIVersion == "":
		o.fail(errors.New("not a Kubernetes object: apiVersion and kind are required"))
		return
	}
	if items < 0 || !strings.HasSuffix(o.Kind, "List") || o.Metadata.Name != "" {
		if err := o.inspect(); err != nil {
			o.fail(fmt.Errorf("%s/%s: %w", o.Kind, o.name(), err))
			return
		}
		d.objects = append(d.objects, o)
		return
	}
	d.collectItems(o, items)
}

// collectItems adds the items of a List. items is the offset of their array.
func (d *Document) collectItems(list *object, items int) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(list.raw[items:]))
	if _, err := decoder.ReadToken(); err != nil {
		list.fail(jsonError(err))
		return
	}
	line, counted := list.line, list.offset
	for i := 0; decoder.PeekKind() != ']'; i++ {
		value, err := decoder.ReadValue()
		if err != nil {
			list.fail(jsonError(err))
			return
		}
		if value.Kind() == 'n' {
			continue
		}
		end := items + int(decoder.InputOffset())
		item := &object{
			document: d, raw: list.raw[end-len(value) : end],
			path: append(slices.Clone(list.path), "items", strconv.Itoa(i)),
		}
		if d.json {
			item.offset = list.offset + end - len(value)
			line += bytes.Count(d.text[counted:item.offset], []byte("\n"))
			item.line, counted = line, item.offset
		}
		if value.Kind() != '{' {
			item.fail(fmt.Errorf("%s: item %d is not an object", list.Kind, i+1))
			continue
		}
		d.collect(item, list.header)
	}
}

// readHeader reads the header of an object. It returns the offset of its array of
// items, or -1.
func (o *object) readHeader() (items int, err error) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(o.raw))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != '{' {
		return -1, errors.New("not a Kubernetes object: the document is not a mapping")
	}
	items = -1
	var metadata jsontext.Value
	for decoder.PeekKind() != '}' {
		key, err := decoder.ReadToken()
		if err != nil {
			return -1, jsonError(err)
		}
		name := key.String()
		value, err := decoder.ReadValue()
		if err != nil {
			return -1, jsonError(err)
		}
		switch name {
		case "apiVersion":
			o.APIVersion = text(value)
		case "kind":
			o.Kind = text(value)
		case "metadata":
			metadata = value.Clone()
		case "items":
			if value.Kind() == '[' {
				items = int(decoder.InputOffset()) - len(value)
			}
		}
	}
	if o.Metadata, err = readMetadata(metadata); err != nil {
		return -1, err
	}
	return items, nil
}

func text(value jsontext.Value) string {
	if value.Kind() != '"' {
		return ""
	}
	return unquote(value)
}

func unquote(quoted []byte) string {
	s, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return string(quoted)
	}
	return string(s)
}

// readMetadata reads the metadata of an object. Labels and annotations must be text.
func readMetadata(raw jsontext.Value) (objectMetadata, error) {
	var fields struct {
		Name         jsontext.Value            `json:"name"`
		GenerateName jsontext.Value            `json:"generateName"`
		Namespace    jsontext.Value            `json:"namespace"`
		Labels       map[string]jsontext.Value `json:"labels"`
		Annotations  map[string]jsontext.Value `json:"annotations"`
	}
	m := objectMetadata{}
	if len(raw) == 0 || raw.Kind() == 'n' {
		return m, nil
	}
	if err := jsonv2.Unmarshal(raw, &fields, jsontext.AllowDuplicateNames(true)); err != nil {
		return m, errors.New("metadata: labels and annotations must be mappings of text")
	}
	m.Name, m.GenerateName, m.Namespace = text(fields.Name), text(fields.GenerateName), text(fields.Namespace)
	var err error
	if m.Labels, err = stringMap("labels", fields.Labels); err != nil {
		return m, err
	}
	m.Annotations, err = stringMap("annotations", fields.Annotations)
	return m, err
}

// stringMap returns a member of the metadata, or the first mistake in it.
func stringMap(name string, values map[string]jsontext.Value) (map[string]string, error) {
	if values == nil {
		return nil, nil
	}
	m := make(map[string]string, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		if value.Kind() != '"' && value.Kind() != 'n' {
			return m, &valueError{[]string{"metadata", name, key}, notText("metadata."+name+"."+key, value)}
		}
		m[key] = text(value)
	}
	return m, nil
}

// notText reports a value that YAML does not read as text although Kubernetes needs text.
func notText(path string, value jsontext.Value) error {
	kind := map[jsontext.Kind]string{'t': "a boolean", 'f': "a boolean", '0': "a number", '{': "a mapping", '[': "a list"}[value.Kind()]
	return fmt.Errorf("%s is %s and must be text: put the value in quotes", path, kind)
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlError returns the error of a YAML library in one line, and the line of the text
// that it is about.
func yamlError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	message = strings.Join(strings.Fields(strings.TrimPrefix(message, "yaml: ")), " ")
	message = strings.TrimPrefix(message, "unmarshal errors: ")
	if at := yamlLine.FindStringSubmatchIndex(message); at != nil {
		line, _ = strconv.Atoi(message[at[2]:at[3]])
		message = message[:at[0]] + message[at[1]:]
	}
	return max(line, 1), message
}

func jsonError(err error) error {
	return errors.New("not valid JSON: " + strings.TrimPrefix(err.Error(), "jsontext: "))
}

func (o *object) name() string {
	if o.Metadata.Name != "" {
		return o.Metadata.Name
	}
	return o.Metadata.GenerateName
}

// where returns the file, the line, the kind and the name of an object.
func (o *object) where() string {
	return fmt.Sprintf("%s:%d: %s/%s", o.document.file, o.position(), o.Kind, o.name())
}

// owner returns the workload that pods of the object belong to. For a Pod it is zero:
// the engine reads it from the metadata.
func (o *object) owner() workload.Owner {
	if o.Kind == "Pod" {
		return workload.Owner{}
	}
	return workload.Owner{Kind: o.Kind, Name: strings.TrimSuffix(o.name(), "-")}
}

// result returns the text of a document after all changes.
func (d *Document) result() []byte {
	if d.wired != nil {
		return d.wired
	}
	return d.text
}

// toJSON returns the document after all changes as JSON, or nil if it has no object.
func (d *Document) toJSON() (json.RawMessage, error) {
	if len(d.objects) == 0 && len(bytes.TrimSpace(d.result())) == 0 {
		return nil, nil
	}
	if d.json && !d.rewritten {
		return d.result(), nil
	}
	raw, err := yaml.YAMLToJSON(d.result())
	if err != nil || string(bytes.TrimSpace(raw)) == "null" {
		return nil, err
	}
	return raw, nil
}

// Manifest is an object of the input.
type Manifest struct {
	Kind, Namespace, Name string
	Annotations           map[string]string
	JSON                  []byte
}

// Objects returns the objects of the documents. Those that name no namespace are in the
// given one.
func Objects(documents []*Document, namespace string) (all []Manifest) {
	for _, d := range documents {
		for _, o := range d.objects {
			m := Manifest{Kind: o.Kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, Annotations: o.Metadata.Annotations, JSON: o.raw}
			if m.Namespace == "" {
				m.Namespace = namespace
			}
			all = append(all, m)
		}
	}
	return all
}

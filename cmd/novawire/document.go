package main

import (
	"maps"
	"slices"
)

// document is a JSON object.
type document map[string]any

var containerLists = []string{"initContainers", "containers"}

// at returns the value at a path, nil if there is none.
func (d document) at(path ...string) any {
	var value any = map[string]any(d)
	for _, key := range path {
		fields, _ := value.(map[string]any)
		value = fields[key]
	}
	return value
}

func (d document) text(path ...string) string {
	s, _ := d.at(path...).(string)
	return s
}

func (d document) name() string { return d.text("name") }

// texts returns a copy of a map of strings.
func (d document) texts(path ...string) map[string]string {
	fields, _ := d.at(path...).(map[string]any)
	texts := make(map[string]string, len(fields))
	for key, value := range fields {
		texts[key], _ = value.(string)
	}
	return texts
}

func asAny(texts map[string]string) map[string]any {
	fields := make(map[string]any, len(texts))
	for key, value := range texts {
		fields[key] = value
	}
	return fields
}

// list returns the objects of a list.
func (d document) list(path ...string) (objects []map[string]any) {
	values, _ := d.at(path...).([]any)
	for _, value := range values {
		if object, ok := value.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}

// byName returns the objects of a list by their names.
func (d document) byName(path ...string) map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, object := range d.list(path...) {
		all[document(object).name()] = object
	}
	return all
}

// containers returns the containers of the pod's spec.
func (d document) containers(list string) (all []document) {
	for _, c := range d.list("spec", list) {
		all = append(all, c)
	}
	return all
}

// container returns nil if there is none of the name.
func (d document) container(list, name string) document {
	all := d.containers(list)
	if i := slices.IndexFunc(all, func(c document) bool { return c.name() == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// set sets the value at a path, whose parent must exist; nil removes it.
func (d document) set(value any, path ...string) {
	last := len(path) - 1
	parent, _ := d.at(path[:last]...).(map[string]any)
	if parent == nil {
		return
	}
	if value == nil {
		delete(parent, path[last])
		return
	}
	parent[path[last]] = value
}

func (d document) clone() document {
	fields, _ := cloneJSON(map[string]any(d)).(map[string]any)
	return fields
}

func cloneJSON(value any) any {
	switch v := value.(type) {
	case map[string]any:
		copied := maps.Clone(v)
		for key := range copied {
			copied[key] = cloneJSON(copied[key])
		}
		return copied
	case []any:
		copied := slices.Clone(v)
		for i := range copied {
			copied[i] = cloneJSON(copied[i])
		}
		return copied
	}
	return value
}

package preview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// template is a pod template of an object, or the object itself if it is a Pod.
type template struct {
	path   []string // in the object
	offset int      // in the object's raw JSON
	raw    []byte
}

// templatePath returns where the kinds of Kubernetes, and kinds with the same shape,
// have their pod template.
func templatePath(apiVersion, kind string) ([]string, bool) {
	group, _, _ := strings.Cut(apiVersion, "/")
	switch kind {
	case "Pod":
		return []string{}, apiVersion == "v1"
	case "PodTemplate":
		return []string{"template"}, apiVersion == "v1"
	case "ReplicationController":
		return []string{"spec", "template"}, apiVersion == "v1"
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return []string{"spec", "template"}, group == "apps"
	case "Job":
		return []string{"spec", "template"}, group == "batch"
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, group == "batch"
	}
	return nil, false
}

// acceptsNoSidecar reports whether the API of a kind refuses parts of a wired
// template. The pods of such an object are wired when they are created.
func acceptsNoSidecar(apiVersion string) bool {
	return strings.HasPrefix(apiVersion, "serving.knative.dev/")
}

// inspect finds the pod templates of an object: where its kind has one, or anywhere
// that a value has the shape of a pod template. What has containers without that
// shape is listed in o.uninspected.
func (o *object) inspect() error {
	var paths [][]string
	known, isKnown := templatePath(o.APIVersion, o.Kind)
	switch {
	case isKnown:
		paths = [][]string{known}
	case !bytes.Contains(o.raw, []byte(`ontainer`)):
		return nil
	default:
		var value any
		if err := json.Unmarshal(o.raw, &value); err != nil {
			return jsonError(err)
		}
		paths, o.uninspected = findTemplates(value)
		if acceptsNoSidecar(o.APIVersion) {
			for _, path := range paths {
				o.uninspected = append(o.uninspected, strings.Join(path, "."))
			}
			return nil
		}
	}
	for _, path := range paths {
		t := template{path: path}
		var ok bool
		if t.offset, t.raw, ok = lookup(o.raw, path); !ok {
			return fmt.Errorf("%s is missing", strings.Join(path, "."))
		}
		if wrong := checkVariables(t.raw); wrong != nil {
			return &valueError{slices.Concat(path, wrong.path), fmt.Errorf("%s%w", prefix(path), wrong.error)}
		}
		o.templates = append(o.templates, t)
	}
	return nil
}

func prefix(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return strings.Join(path, ".") + "."
}

// findTemplates returns the paths of all values with the shape of a pod template, and
// the paths of containers elsewhere.
func findTemplates(root any) (templates [][]string, elsewhere []string) {
	var walk func(value any, path []string)
	walk = func(value any, path []string) {
		switch v := value.(type) {
		case map[string]any:
			if len(path) > 0 && hasPodSpec(v) {
				templates = append(templates, slices.Clone(path))
				return
			}
			if hasContainers(v) {
				elsewhere = append(elsewhere, strings.Join(path, "."))
				return
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				walk(v[key], append(path, key))
			}
		case []any:
			for i, element := range v {
				walk(element, append(path, strconv.Itoa(i)))
			}
		}
	}
	walk(root, nil)
	return templates, elsewhere
}

// hasPodSpec reports whether a value has the shape of a pod template.
func hasPodSpec(v map[string]any) bool {
	spec, _ := v["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	return len(containers) > 0 && areContainers(containers)
}

// hasContainers reports whether a value has containers, in a list or alone.
func hasContainers(v map[string]any) bool {
	if containers, ok := v["containers"].([]any); ok && len(containers) > 0 && areContainers(containers) {
		return true
	}
	container, ok := v["container"].(map[string]any)
	return ok && areContainers([]any{container})
}

func areContainers(values []any) bool {
	for _, value := range values {
		c, _ := value.(map[string]any)
		_, hasName := c["name"].(string)
		_, hasImage := c["image"].(string)
		if !hasName && !hasImage {
			return false
		}
	}
	return true
}

// lookup returns the value at a path of a JSON object, and its offset.
func lookup(raw []byte, path []string) (offset int, value []byte, ok bool) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(raw))
	for _, key := range path {
		if !enter(decoder, key) {
			return 0, nil, false
		}
	}
	v, err := decoder.ReadValue()
	if err != nil || v.Kind() == 'n' {
		return 0, nil, false
	}
	end := int(decoder.InputOffset())
	return end - len(v), raw[end-len(v) : end], true
}

// enter reads into an object or array up to the value of a key or index.
func enter(decoder *jsontext.Decoder, key string) bool {
	token, err := decoder.ReadToken()
	if err != nil || token.Kind() != '{' && token.Kind() != '[' {
		return false
	}
	isObject := token.Kind() == '{'
	for i := 0; decoder.PeekKind() != '}' && decoder.PeekKind() != ']' && decoder.PeekKind() != 0; i++ {
		name := strconv.Itoa(i)
		if isObject {
			token, err := decoder.ReadToken()
			if err != nil {
				return false
			}
			name = token.String()
		}
		if name == key {
			return true
		}
		if decoder.SkipValue() != nil {
			return false
		}
	}
	return false
}

// checkVariables reports the first variable of a container whose value is not text,
// such as yes, which YAML reads as a boolean. The API server refuses it.
func checkVariables(raw []byte) *valueError {
	type containers []struct {
		Name jsontext.Value `json:"name"`
		Env  []struct {
			Name  jsontext.Value `json:"name"`
			Value jsontext.Value `json:"value"`
		} `json:"env"`
	}
	var pod struct {
		Spec struct {
			InitContainers containers `json:"initContainers"`
			Containers     containers `json:"containers"`
		} `json:"spec"`
	}
	if json.Unmarshal(raw, &pod) != nil {
		return nil //nolint:nilerr // the engine reports it
	}
	for _, list := range []struct {
		field      string
		containers containers
	}{{"initContainers", pod.Spec.InitContainers}, {"containers", pod.Spec.Containers}} {
		for i, c := range list.containers {
			for k, v := range c.Env {
				if len(v.Value) > 0 && v.Value.Kind() != '"' && v.Value.Kind() != 'n' {
					where := fmt.Sprintf("spec.%s: container %s: env %s: value", list.field, text(c.Name), text(v.Name))
					return &valueError{[]string{"spec", list.field, strconv.Itoa(i), "env", strconv.Itoa(k), "value"}, notText(where, v.Value)}
				}
			}
		}
	}
	return nil
}

package inject

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nova/novawire/internal/workload"
)

// pod is the little that injection reads of a pod or of a pod template. What is
// not here stays in the raw JSON, which operations refer to by path.
type pod struct {
	Metadata *metadata `json:"metadata"`
	Spec     spec      `json:"spec"`
}

// noMetadata stands in for that of a template that has none; a Job's may.
var noMetadata metadata

type metadata struct {
	Name         string                    `json:"name"`
	GenerateName string                    `json:"generateName"`
	Labels       map[string]string         `json:"labels"`
	Annotations  map[string]string         `json:"annotations"`
	Owners       []workload.OwnerReference `json:"ownerReferences"`
}

type spec struct {
	HostNetwork    bool              `json:"hostNetwork"`
	RestartPolicy  string            `json:"restartPolicy"`
	NodeSelector   map[string]string `json:"nodeSelector"`
	OS             operatingSystem   `json:"os"`
	Resources      jsontext.Value    `json:"resources"` // of the pod as a whole
	InitContainers []container       `json:"initContainers"`
	Containers     []container       `json:"containers"`
}

type operatingSystem struct {
	Name string `json:"name"`
}

type container struct {
	Name          string       `json:"name"`
	Image         string       `json:"image"`
	RestartPolicy string       `json:"restartPolicy"`
	Env           variables    `json:"env"`
	EnvFrom       []envFrom    `json:"envFrom"`
	Ports         []port       `json:"ports"`
	Resources     requirements `json:"resources"`
}

// variables are a container's env. Of its elements only those are decoded that
// injection has to look at: an app may well have a thousand.
type variables struct {
	count int
	known []variable
}

type variable struct {
	Name      string         `json:"name"`
	Value     string         `json:"value"`
	ValueFrom jsontext.Value `json:"valueFrom"`

	index int // in env
}

// UnmarshalJSONFrom reads a list, or null.
func (v *variables) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() != '[' {
		return decoder.SkipValue()
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	for ; decoder.PeekKind() != ']'; v.count++ {
		element, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		if !mayBeKnown(element) {
			continue
		}
		known := variable{index: v.count}
		if err := json.Unmarshal(element, &known, lenient); err != nil {
			return err
		}
		v.known = append(v.known, known)
	}
	_, err := decoder.ReadToken()
	return err
}

// mayBeKnown tells an element that may have one of our names; one with escapes
// may have any.
func mayBeKnown(element []byte) bool {
	return bytes.Contains(element, []byte("OTEL_")) || bytes.Contains(element, []byte("NOVAWIRE_")) ||
		bytes.Contains(element, []byte(`\u`))
}

type envFrom struct {
	Prefix       string    `json:"prefix"`
	ConfigMapRef reference `json:"configMapRef"`
	SecretRef    reference `json:"secretRef"`
}

type reference struct {
	Name string `json:"name"`
}

type port struct {
	Name          string `json:"name"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// requirements keeps amounts as they are written: a number, or a string.
type requirements struct {
	Requests amounts `json:"requests"`
	Limits   amounts `json:"limits"`
}

type amounts struct {
	CPU    jsontext.Value `json:"cpu"`
	Memory jsontext.Value `json:"memory"`
}

// lenient reads what any API server may send: the answer to a pod that we find
// odd is to wire it as well as we can, not to judge it.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func decode(raw []byte) (pod, error) {
	var p pod
	err := json.Unmarshal(raw, &p, lenient)
	return p, err
}

func hidden(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

func (v variable) isReference() bool { return hidden(v.ValueFrom) }

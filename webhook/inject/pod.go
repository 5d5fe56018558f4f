package inject

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nova/novawire/internal/workload"
)

// pod has the fields of a pod or pod template that injection reads. All other
// fields stay in the raw JSON; patch operations refer to them by path.
type pod struct {
	Metadata *metadata `json:"metadata"`
	Spec     spec      `json:"spec"`
}

// emptyMetadata replaces the metadata of a template without any, such as a Job's.
var emptyMetadata metadata

type metadata struct {
	Name         string                    `json:"name"`
	GenerateName string                    `json:"generateName"`
	Labels       map[string]string         `json:"labels"`
	Annotations  map[string]string         `json:"annotations"`
	Owners       []workload.OwnerReference `json:"ownerReferences"`
}

type spec struct {
	HostNetwork   bool              `json:"hostNetwork"`
	RestartPolicy string            `json:"restartPolicy"`
	NodeSelector  map[string]string `json:"nodeSelector"`
	OS            operatingSystem   `json:"os"`
	Affinity      affinity          `json:"affinity"`

	SecurityContext securityContext `json:"securityContext"`

	PriorityClassName     string         `json:"priorityClassName"`
	ActiveDeadlineSeconds jsontext.Value `json:"activeDeadlineSeconds"`

	Resources      jsontext.Value `json:"resources"` // of the pod as a whole
	Overhead       amounts        `json:"overhead"`  // of its RuntimeClass
	InitContainers []container    `json:"initContainers"`
	Containers     []container    `json:"containers"`
}

type operatingSystem struct {
	Name string `json:"name"`
}

type affinity struct {
	NodeAffinity struct {
		Required nodeSelector `json:"requiredDuringSchedulingIgnoredDuringExecution"`
	} `json:"nodeAffinity"`
}

type nodeSelector struct {
	Terms []struct {
		Expressions []nodeExpression `json:"matchExpressions"`
	} `json:"nodeSelectorTerms"`
}

type nodeExpression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// securityContext is that of a pod or a container. Most have none of the fields that
// injection reads; they are skipped.
type securityContext struct{ hostProcess bool }

// UnmarshalJSONFrom decodes an object or null.
func (c *securityContext) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	value, err := decoder.ReadValue()
	if err != nil || !bytes.Contains(value, []byte("windowsOptions")) {
		return err
	}
	var fields struct {
		WindowsOptions struct {
			HostProcess bool `json:"hostProcess"`
		} `json:"windowsOptions"`
	}
	err = json.Unmarshal(value, &fields, lenient)
	c.hostProcess = fields.WindowsOptions.HostProcess
	return err
}

type container struct {
	Name          string       `json:"name"`
	Image         string       `json:"image"`
	RestartPolicy string       `json:"restartPolicy"`
	Env           variables    `json:"env"`
	EnvFrom       []envFrom    `json:"envFrom"`
	Ports         []port       `json:"ports"`
	Resources     requirements `json:"resources"`

	SecurityContext securityContext `json:"securityContext"`

	foreign bool // not part of the app
}

// variables is a container's env. Only the elements that injection needs are
// decoded, because a container can have a thousand.
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

// UnmarshalJSONFrom decodes a list or null.
func (v *variables) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	switch decoder.PeekKind() {
	case '[':
	case 'n':
		return decoder.SkipValue()
	default:
		return errors.New("env is not a list")
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

// mayBeKnown reports whether an element of env can have a name that injection
// knows. An element with escapes can have any name. Most elements show by the first
// letter of their name that they cannot.
func mayBeKnown(element []byte) bool {
	if name, ok := bytes.CutPrefix(element, []byte(`{"name":"`)); ok && name[0] != 'O' && name[0] != 'N' && name[0] != '\\' {
		return false
	}
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

// requirements keeps quantities as they are written: as a number or a string.
type requirements struct {
	Requests amounts `json:"requests"`
	Limits   amounts `json:"limits"`
}

type amounts struct {
	CPU     jsontext.Value `json:"cpu"`
	Memory  jsontext.Value `json:"memory"`
	Storage jsontext.Value `json:"ephemeral-storage"`
}

// get returns the amount of a resource, and whether there is a readable one.
func (a *amounts) get(resource int) (int64, bool) {
	return parseAmount(resource, [resources]jsontext.Value{a.CPU, a.Memory, a.Storage}[resource])
}

// lenient accepts everything that an API server can send, because validation is
// the API server's task.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func decode(raw []byte) (pod, error) {
	var p pod
	if err := json.Unmarshal(raw, &p, lenient); err != nil {
		return pod{}, fmt.Errorf("decode pod: %w", err)
	}
	if p.Metadata == nil {
		p.Metadata = &emptyMetadata
	}
	return p, nil
}

// isSet reports whether a JSON member is there and not null.
func isSet(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

func (v variable) isReference() bool { return isSet(v.ValueFrom) }

package backup

import "strings"

// Kind is the kind of an object that can request backups.
type Kind string

// The kinds of a [Source].
const (
	KindStatefulSet Kind = "StatefulSet"
	KindSecret      Kind = "Secret"  // it holds the connection
	KindService     Kind = "Service" // it names the server
)

// Source is an object that requests backups of one PostgreSQL server. It identifies
// them: in labels, metrics and on the command line, and as a folder in the bucket.
type Source struct {
	Kind            Kind
	Namespace, Name string
}

// StatefulSet returns the source of a StatefulSet.
func StatefulSet(namespace, name string) Source { return Source{KindStatefulSet, namespace, name} }

// Reference returns NAME for a StatefulSet, which is the value of the metrics' label
// statefulset since the first version, and secret/NAME or service/NAME otherwise. No
// StatefulSet can have such a name.
func (s Source) Reference() string {
	if s.Kind == KindStatefulSet {
		return s.Name
	}
	return strings.ToLower(string(s.Kind)) + "/" + s.Name
}

// SecretsNotWatched says why the annotation of a Secret has no effect.
const SecretsNotWatched = "the manager has no right to watch Secrets, so it cannot see the annotation: install the component backup-secrets, or annotate a Service and name this Secret with " + AnnotationURLSecret

// Argument returns the reference in the form of the command line, sts/NAME for a
// StatefulSet.
func (s Source) Argument() string {
	if s.Kind == KindStatefulSet {
		return "sts/" + s.Name
	}
	return s.Reference()
}

// String describes the source in messages.
func (s Source) String() string { return string(s.Kind) + " " + s.Namespace + "/" + s.Name }

// folder is the source's prefix below the bucket of its namespace. No object's name
// contains the underscore, so no two sources share a folder.
func (s Source) folder() string { return strings.Replace(s.Reference(), "/", "_", 1) }

// kindNames are the names of the kinds, as kubectl accepts them.
var kindNames = map[string]Kind{
	"sts": KindStatefulSet, "statefulset": KindStatefulSet, "statefulsets": KindStatefulSet,
	"statefulset.apps": KindStatefulSet, "statefulsets.apps": KindStatefulSet,
	"secret": KindSecret, "secrets": KindSecret,
	"svc": KindService, "service": KindService, "services": KindService,
}

// ParseReference parses KIND/NAME, or the NAME of a StatefulSet.
func ParseReference(namespace, reference string) (Source, bool) {
	kind, name, found := strings.Cut(reference, "/")
	if !found {
		kind, name = "sts", reference
	}
	s := Source{kindNames[strings.ToLower(kind)], namespace, name}
	return s, s.Kind != "" && name != "" && !strings.Contains(name, "/")
}

package lint

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

func TestMisplacedAnnotations(t *testing.T) {
	annotations := map[string]string{"example.com/inject.nova.dev": "x"}
	var want []inject.Note
	for _, key := range []string{"collector", "containers", "logs", "metrics", "metrics-path", "metrics-port", "protocol", "service-name"} {
		annotations["inject.nova.dev/"+key] = "x"
		want = append(want, inject.Note{Reason: inject.Misplaced, Subject: "inject.nova.dev/" + key})
	}
	if diff := cmp.Diff(want, MisplacedAnnotations(annotations)); diff != "" {
		t.Error(diff)
	}
}

// request returns a backup request with annotations, given as pairs.
func request(t *testing.T, annotations ...string) backupapi.Request {
	t.Helper()
	given := map[string]string{backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/db"}
	for i := 0; i < len(annotations); i += 2 {
		given[backupapi.AnnotationPrefix+annotations[i]] = annotations[i+1]
	}
	defaults, _ := backupapi.ParseDefaults(nil)
	r, refusals := backupapi.ParseRequest(defaults, given)
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	return r
}

func TestBackup(t *testing.T) {
	claims := []VolumeClaim{{"small", "99Gi"}, {"large", "100Gi"}, {"broken", "x"}}
	encrypted := []string{"encryption-recipients", "r/r", "encryption-identity", "i/i"}
	for name, c := range map[string]struct {
		annotations []string
		want        []string // a part of each warning
	}{
		"one run a day":                      {nil, nil},
		"two runs a day on a large volume":   {[]string{"schedule", "0 */12 * * *"}, []string{"2 runs a day each read the whole volume large of 100Gi"}},
		"three days":                         {[]string{"retention-days", "3"}, nil},
		"two days":                           {[]string{"retention-days", "2", "keep-minimum", "5"}, []string{"after 2 days may be in every backup: use 3 or more to cover a weekend; the newest 5 backups"}},
		"a key that holds a password alone":  {[]string{"url-secret", "db/POSTGRES_PASSWORD"}, []string{"the key POSTGRES_PASSWORD seems to hold a password alone"}},
		"a key that holds a URL":             {[]string{"url-secret", "db/url"}, nil},
		"a key that holds a URL with one":    {[]string{"url-secret", "db/password-url"}, nil},
		"an external store":                  {[]string{"s3-endpoint", "https://s3.example.com"}, []string{"unencrypted: the operator of https://s3.example.com"}},
		"an external store, plain":           {[]string{"s3-endpoint", "http://s3.example.com"}, []string{"PLAIN HTTP to http://s3.example.com"}},
		"an external store, encrypted":       {append([]string{"s3-endpoint", "http://s3.example.com"}, encrypted...), nil},
		"AWS":                                {[]string{"s3-endpoint", "https://s3.eu-central-1.amazonaws.com"}, nil},
		"AWS in China":                       {[]string{"s3-endpoint", "https://s3.cn-north-1.amazonaws.com.cn"}, nil},
		"AWS, plain":                         {[]string{"s3-endpoint", "http://s3.eu-central-1.amazonaws.com"}, []string{"PLAIN HTTP"}},
		"a host that ends like AWS":          {[]string{"s3-endpoint", "https://notamazonaws.com"}, []string{"unencrypted"}},
		"a public address":                   {[]string{"s3-endpoint", "https://203.0.113.7:9000"}, []string{"unencrypted"}},
		"a private address":                  {[]string{"s3-endpoint", "http://10.1.2.3:9000"}, nil},
		"a loopback address":                 {[]string{"s3-endpoint", "http://127.0.0.1:9000"}, nil},
		"a link-local address":               {[]string{"s3-endpoint", "http://[fe80::1]:9000"}, nil},
		"localhost":                          {[]string{"s3-endpoint", "http://localhost:9000"}, nil},
		"a local name":                       {[]string{"s3-endpoint", "http://s3.corp.internal:9000"}, nil},
		"a Service":                          {[]string{"s3-endpoint", "http://s3.storage.svc.cluster.local.:7070"}, nil},
		"encryption without the identity":    {[]string{"encryption-recipients", "r/r"}, []string{"every drill will fail"}},
		"encryption without drills":          {[]string{"encryption-recipients", "r/r", "drill-schedule", "never"}, nil},
		"encryption without drills, outside": {[]string{"encryption-recipients", "r/r", "drill-schedule", "never", "s3-endpoint", "http://s3.example.com"}, nil},
	} {
		t.Run(name, func(t *testing.T) { compareParts(t, c.want, Backup(request(t, c.annotations...), claims)) })
	}
}

// compareParts fails unless each warning contains its part.
func compareParts(t *testing.T, parts, warnings []string) {
	t.Helper()
	if len(parts) != len(warnings) {
		t.Fatalf("warnings %q, want %q", warnings, parts)
	}
	for i, part := range parts {
		if !strings.Contains(warnings[i], part) || !strings.HasPrefix(warnings[i], backupapi.AnnotationPrefix) {
			t.Errorf("%q does not contain %q", warnings[i], part)
		}
	}
}

// objects is a fake in which only the named objects exist.
type objects struct {
	names        []string // Secret/a, ServiceAccount/b
	statefulSets []metav1.PartialObjectMetadata
	labels       map[string]string // of the namespace
	watched      bool              // Secrets are
	err          error
}

func (o objects) HasSecret(_ context.Context, namespace, name string) (bool, error) {
	return namespace == "nova" && slices.Contains(o.names, "Secret/"+name), o.err
}

func (o objects) HasServiceAccount(_ context.Context, namespace, name string) (bool, error) {
	return namespace == "nova" && slices.Contains(o.names, "ServiceAccount/"+name), o.err
}

func (o objects) StatefulSets(context.Context) ([]metav1.PartialObjectMetadata, error) {
	return o.statefulSets, o.err
}

func (o objects) SecretsWatched(context.Context) (bool, error) { return o.watched, o.err }

func (o objects) NamespaceLabels(context.Context, string) (map[string]string, error) {
	return o.labels, o.err
}

// slowObjects answers a look-up only when all others have begun.
type slowObjects struct{ begun *sync.WaitGroup }

func (o slowObjects) HasSecret(ctx context.Context, namespace, name string) (bool, error) {
	o.begun.Done()
	return false, o.wait(ctx)
}

func (o slowObjects) HasServiceAccount(ctx context.Context, namespace, name string) (bool, error) {
	o.begun.Done()
	return false, o.wait(ctx)
}

func (o slowObjects) StatefulSets(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	o.begun.Done()
	return nil, o.wait(ctx)
}

func (o slowObjects) NamespaceLabels(ctx context.Context, _ string) (map[string]string, error) {
	o.begun.Done()
	return nil, o.wait(ctx)
}

func (o slowObjects) SecretsWatched(ctx context.Context) (bool, error) {
	o.begun.Done()
	return false, o.wait(ctx)
}

func (o slowObjects) wait(ctx context.Context) error {
	all := make(chan struct{})
	go func() { o.begun.Wait(); close(all) }()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// One slow look-up must not use up the time of the others: look-ups that ran one
// after the other lost the ServiceAccount's warning on a loaded API server.
func TestBackupReferences_LookUpsRunAtTheSameTime(t *testing.T) {
	references := slowObjects{begun: &sync.WaitGroup{}}
	references.begun.Add(8) // the namespace, the right to watch Secrets, four Secrets, the ServiceAccount, the list
	defaults, _ := backupapi.ParseDefaults(nil)
	s := backupapi.Source{Kind: backupapi.KindSecret, Namespace: "nova", Name: "db"}
	r := request(t, "url-secret", "u/url", "aws-secret", "a", "encryption-recipients", "r/r", "encryption-identity", "i/i", "service-account", "s")
	compareParts(t, []string{"no right to watch Secrets", "Secret u", "Secret a", "Secret r", "Secret i", "ServiceAccount s"}, BackupReferences(t.Context(), references, defaults, s, r))
}

func TestBackupReferences(t *testing.T) {
	other := func(namespace, name string, annotations ...string) metav1.PartialObjectMetadata {
		given := map[string]string{backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/db/"}
		for i := 0; i < len(annotations); i += 2 {
			given[backupapi.AnnotationPrefix+annotations[i]] = annotations[i+1]
		}
		return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: given}}
	}
	all := []string{"url-secret", "u/url", "aws-secret", "a", "encryption-recipients", "r/r", "encryption-identity", "i/i", "service-account", "s"}
	url := objects{names: []string{"Secret/u"}}
	with := func(o objects, sets ...metav1.PartialObjectMetadata) objects { o.statefulSets = sets; return o }
	for name, c := range map[string]struct {
		annotations []string
		objects     objects
		want        []string
	}{
		"all exist": {all, objects{names: []string{"Secret/u", "Secret/a", "Secret/r", "Secret/i", "ServiceAccount/s"}}, nil},
		"none exists": {all, objects{}, []string{
			"url-secret: Secret u does not exist in namespace nova", "aws-secret: Secret a", "encryption-recipients: Secret r", "encryption-identity: Secret i", "service-account: ServiceAccount s",
		}},
		"the namespace is switched off":      {all[:2], objects{names: url.names, labels: map[string]string{backupapi.LabelNamespace: backupapi.NamespaceDisabled}}, []string{"no backup runs: namespace nova is labelled"}},
		"look-ups fail":                      {all, with(objects{err: errors.New("forbidden")}, other("old", "db")), nil},
		"the same location":                  {all[:2], with(url, other("old", "db")), []string{"StatefulSet db in namespace old also keeps its backups in s3://nova/db:"}},
		"the same location, other name":      {all[:2], with(url, other("nova", "db2")), []string{"StatefulSet db2 in namespace nova"}},
		"its own location":                   {all[:2], with(url, other("nova", "db")), nil},
		"another store":                      {all[:2], with(url, other("old", "db", "s3-endpoint", "http://s3:1")), nil},
		"another prefix":                     {all[:2], with(url, other("old", "db", "bucket", "s3://nova/db2")), nil},
		"a StatefulSet that is switched off": {all[:2], with(url, other("old", "db", "enabled", "false")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			defaults, _ := backupapi.ParseDefaults(nil)
			s := backupapi.StatefulSet("nova", "db")
			compareParts(t, c.want, BackupReferences(t.Context(), c.objects, defaults, s, request(t, c.annotations...)))
		})
	}
}

func TestBackupReferences_SecretsWatched(t *testing.T) {
	secret := backupapi.Source{Kind: backupapi.KindSecret, Namespace: "nova", Name: "db"}
	for name, c := range map[string]struct {
		source  backupapi.Source
		objects objects
		want    []string
	}{
		"Secrets are watched":                 {secret, objects{watched: true}, nil},
		"Secrets are not watched":             {secret, objects{}, []string{"no backup is scheduled"}},
		"nobody knows":                        {secret, objects{err: errors.New("forbidden")}, nil},
		"a StatefulSet where Secrets are not": {backupapi.StatefulSet("nova", "db"), objects{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			defaults, _ := backupapi.ParseDefaults(nil)
			compareParts(t, c.want, BackupReferences(t.Context(), c.objects, defaults, c.source, request(t)))
		})
	}
}

type services struct {
	owners []workload.Owner
	err    error
	asked  *string
}

func (s services) Named(_ context.Context, _ *inject.Engine, _ inject.Namespace, service string) ([]workload.Owner, error) {
	*s.asked = service
	return s.owners, s.err
}

func TestServiceNameClashes(t *testing.T) {
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	self, other := workload.Owner{Kind: "Deployment", Name: "a"}, workload.Owner{Kind: "CronJob", Name: "b"}
	template := []byte(`{"metadata":{"annotations":{"inject.nova.dev/service-name":"shop"}},"spec":{"containers":[{"name":"a"}]}}`)
	var asked string
	got := ServiceNameClashes(t.Context(), services{owners: []workload.Owner{self, other}, asked: &asked}, engine, inject.Namespace{Name: "nova"}, self, template)
	want := []inject.Note{{Reason: inject.NameClash, Subject: "CronJob b", Detail: "shop"}}
	if diff := cmp.Diff(want, got); diff != "" || asked != "shop" {
		t.Errorf("asked for %q: %s", asked, diff)
	}
	if got := ServiceNameClashes(t.Context(), services{owners: []workload.Owner{other}, err: errors.New("timeout"), asked: &asked}, engine, inject.Namespace{}, self, template); got != nil {
		t.Errorf("after an error: %v", got)
	}
}

func TestBackupEngine(t *testing.T) {
	for image, want := range map[string][]string{"mysql:8": {"enabled: "}, "postgres:17": nil, "app:1": nil} {
		compareParts(t, want, BackupEngine(request(t), []backupapi.Container{{Name: "db", Image: image}}))
	}
	if got := BackupEngine(request(t, "client-image", "postgres:17"), []backupapi.Container{{Name: "db", Image: "mysql:8"}}); got != nil {
		t.Errorf("with a client image: %q", got)
	}
}

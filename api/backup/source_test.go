package backup

import (
	"strings"
	"testing"
)

func TestParseReference(t *testing.T) {
	for reference, want := range map[string]Source{
		"db":                   {KindStatefulSet, "nova", "db"},
		"sts/db":               {KindStatefulSet, "nova", "db"},
		"StatefulSets.apps/db": {KindStatefulSet, "nova", "db"},
		"secret/pg.app":        {KindSecret, "nova", "pg.app"},
		"svc/db":               {KindService, "nova", "db"},
	} {
		if got, ok := ParseReference("nova", reference); !ok || got != want {
			t.Errorf("%s: %v, %t", reference, got, ok)
		}
	}
	for _, reference := range []string{"", "sts/", "deploy/db", "secret/a/b", "/db"} {
		if got, ok := ParseReference("nova", reference); ok {
			t.Errorf("%q is %v", reference, got)
		}
	}
	for _, kind := range []Kind{KindStatefulSet, KindSecret, KindService} {
		s := Source{kind, "nova", "db"}
		for _, reference := range []string{s.Reference(), s.Argument()} {
			if got, ok := ParseReference("nova", reference); !ok || got != s {
				t.Errorf("%s is read as %v", reference, got)
			}
		}
	}
}

// A Secret and a StatefulSet of one name are two servers.
func TestRequest_Location_OfEachKind(t *testing.T) {
	r := DefaultRequest()
	r.BucketRoot = "s3://nova-backups/prod"
	for kind, want := range map[Kind]string{
		KindStatefulSet: "s3://nova-backups/prod/nova/db", KindSecret: "s3://nova-backups/prod/nova/secret_db", KindService: "s3://nova-backups/prod/nova/service_db",
	} {
		if got := r.Location(Source{kind, "nova", "db"}); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

func TestParseSource(t *testing.T) {
	defaults := DefaultRequest()
	defaults.BucketRoot = "s3://nova-backups"
	for name, c := range map[string]struct {
		kind        Kind
		annotations map[string]string
		databases   string
		refused     string
	}{
		"a StatefulSet has every database":               {KindStatefulSet, nil, "*", ""},
		"a Secret's connection may name a database":      {KindSecret, nil, "", ""},
		"a Secret with every database":                   {KindSecret, map[string]string{AnnotationDatabases: "*"}, "*", ""},
		"a Secret with a list":                           {KindSecret, map[string]string{AnnotationDatabases: "a,b"}, "a,b", ""},
		"a Service without a login":                      {KindService, nil, "", AnnotationURLSecret + ": a Service names no login"},
		"a Service with a login":                         {KindService, map[string]string{AnnotationURLSecret: "db/user=u,password=p"}, "", ""},
		"a Service with a wrong login is told once":      {KindService, map[string]string{AnnotationURLSecret: "db"}, "", AnnotationURLSecret + `: "db" is refused`},
		"a Service that is switched off needs no login,": {KindService, map[string]string{AnnotationEnabled: "false"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{AnnotationEnabled: "true"}
			for key, value := range c.annotations {
				annotations[key] = value
			}
			r, refusals := ParseSource(defaults, Source{c.kind, "nova", "db"}, annotations)
			if r.Databases != c.databases {
				t.Errorf("databases %q, want %q", r.Databases, c.databases)
			}
			if c.refused == "" && len(refusals) > 0 || c.refused != "" && (len(refusals) != 1 || !strings.HasPrefix(refusals[0].Error(), c.refused)) {
				t.Errorf("refused: %v, want %q", refusals, c.refused)
			}
		})
	}
}

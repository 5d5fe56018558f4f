package resources

import (
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
)

func TestConfig_Preview_AllowedOverrides(t *testing.T) {
	const manifest = `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","annotations":{"backup.nova.dev/enabled":"true","backup.nova.dev/retention-days":"1"}},
		"spec":{"serviceName":"db","template":{"spec":{"containers":[{"name":"postgres","image":"postgres:17"}]}}}}`
	accounts := map[string]string{backupapi.AnnotationServiceAccountAnnotations: "eks.amazonaws.com/role-arn=arn:aws:iam::1:role/a"}
	for name, c := range map[string]struct {
		policy backupapi.Policy
		wrong  []string
	}{
		"nothing is limited by default": {backupapi.Policy{}, nil},
		"the object's annotation":       {backupapi.Policy{Object: []string{}}, []string{"backup.nova.dev/retention-days: the platform does not let the object set it"}},
		"the namespace's annotation":    {backupapi.Policy{Namespace: []string{}}, []string{"namespace annotation backup.nova.dev/service-account-annotations: the platform does not let a namespace set it"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			config.Defaults = map[string]string{backupapi.AnnotationBucket: "s3://nova/all"}
			config.AllowedOverrides = c.policy
			objects, mistakes := config.Preview("nova", accounts, []byte(manifest))
			if len(mistakes) != len(c.wrong) || (len(objects) > 0) != (len(c.wrong) == 0) {
				t.Fatalf("%d objects, %v", len(objects), mistakes)
			}
			for i, want := range c.wrong {
				if !strings.HasPrefix(mistakes[i].Error(), want) {
					t.Errorf("%v, want %q", mistakes[i], want)
				}
			}
		})
	}
}

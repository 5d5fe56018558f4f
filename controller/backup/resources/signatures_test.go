package resources

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// secretsOf returns the Secrets that a pod mounts.
func secretsOf(pod corev1.PodSpec) (names []string) {
	for _, v := range pod.Volumes {
		if v.Secret != nil {
			names = append(names, v.Secret.SecretName)
		}
	}
	slices.Sort(names)
	return names
}

func variable(pod corev1.PodSpec, name string) string {
	for _, e := range pod.Containers[0].Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// Each pod has the keys that it needs, and no other.
func TestPod_Keys(t *testing.T) {
	set := setOf(t, "serviceName: s\ntemplate:\n  spec:\n    containers: [{name: db, image: 'postgres:17'}]")
	request := backupapi.DefaultRequest()
	request.Bucket = "s3://bucket"
	request.SigningKey, request.VerifyKey = backupapi.SecretKey{Name: "sign", Key: "id"}, backupapi.SecretKey{Name: "trust", Key: "keys"}
	separate := request
	separate.EvidenceKey = backupapi.SecretKey{Name: "evidence", Key: "id"}
	copied := request
	copied.CopyBucket, copied.CopyAWSSecret, copied.CopyS3Endpoint = "s3://copy", "copy-aws", "https://s3.example.org:8443"
	c := DefaultConfig()
	cases := map[string]struct {
		request                   backupapi.Request
		run, drill, list, restore []string
	}{
		"one signing key":        {request, []string{"sign", "trust"}, []string{"sign", "trust"}, []string{"trust"}, []string{"trust"}},
		"a key for evidence":     {separate, []string{"sign", "trust"}, []string{"evidence", "trust"}, []string{"trust"}, []string{"trust"}},
		"a second store":         {copied, []string{"copy-aws", "sign", "trust"}, []string{"sign", "trust"}, []string{"copy-aws", "trust"}, []string{"copy-aws", "trust"}},
		"no keys, no other pods": {backupapi.DefaultRequest(), nil, nil, nil, nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			target := targetOf(set, test.request)
			backup, drill := c.BackupCronJob(target), c.DrillCronJob(target)
			verb := func(verb string) corev1.PodSpec {
				return JobForVerb(backup, drill, verb, nil, "x").Spec.Template.Spec
			}
			run, drilled := backup.Spec.JobTemplate.Spec.Template.Spec, drill.Spec.JobTemplate.Spec.Template.Spec
			got := [][]string{secretsOf(run), secretsOf(drilled), secretsOf(verb(VerbList)), secretsOf(verb(VerbRestore))}
			withoutURL := func(names []string) []string {
				return slices.DeleteFunc(names, func(name string) bool { return name == backupapi.DefaultURLSecret.Name })
			}
			for i := range got {
				got[i] = withoutURL(got[i])
			}
			if diff := cmp.Diff(fmt.Sprint([][]string{test.run, test.drill, test.list, test.restore}), fmt.Sprint(got)); diff != "" {
				t.Errorf("Secrets of run, drill, list and restore:\n%s", diff)
			}
			if path := variable(verb(VerbRestore), backupapi.EnvSigningKeyFile); path != "" {
				t.Errorf("a restore is told of a signing key: %s", path)
			}
			if (test.request.VerifyKey.Name != "") != (variable(verb(VerbRestore), backupapi.EnvVerifyKeyFile) != "") {
				t.Error("a restore does not verify")
			}
		})
	}
	t.Run("policies allow the second store", func(t *testing.T) {
		var ports []string
		for _, rule := range c.outboundRules(targetOf(set, copied)) {
			for _, p := range rule.Ports {
				ports = append(ports, p.Port.String())
			}
		}
		if !strings.Contains(strings.Join(ports, " "), "8443") {
			t.Errorf("ports %v", ports)
		}
	})
}

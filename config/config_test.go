package config

import (
	"strings"
	"testing"
)

func TestManager_Version(t *testing.T) {
	for text, problem := range map[string]string{
		"":                            "",
		"injection: {clusterName: a}": "",
		"apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration":              "",
		"apiVersion: config.nova.dev/v2\nkind: ManagerConfiguration":                    `apiVersion: "config.nova.dev/v2" is not supported: use config.nova.dev/v1alpha1`,
		"apiVersion: config.nova.dev/v1alpha1\nkind: Config":                            `kind: "Config" is not supported: use ManagerConfiguration`,
		"apiVersion: config.nova.dev/v1alpha1":                                          `kind: "" is not supported`,
		"kind: ManagerConfiguration":                                                    `apiVersion: "" is not supported`,
		"apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration\nbackups: {}": `unknown field "backups"`,
	} {
		c := Default("")
		err := c.Parse([]byte(text))
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%q: %v, want %q", text, err, problem)
		}
	}
}

func TestManager_Mistakes(t *testing.T) {
	for text, want := range map[string]struct {
		part string
		last bool // nothing stands behind the part
	}{
		"injection: {sidecar: {imag: x}}":                                     {`unknown field "injection.sidecar.imag"`, false},
		"injection: {clusterName: a, clusterName: b}":                         {`"clusterName" already set`, false},
		"injection: {kubernetesVersion: '2'}":                                 {"injection: kubernetesVersion", false},
		"injection: {defaults: {inject.nova.dev/protocol: grcp}}":             {`defaults: inject.nova.dev/protocol: "grcp" is refused: use grpc or http/protobuf`, false},
		"injection: {sidecar: {resources: {memoryLimit: 1Mi}}}":               {"sidecar.resources: \"1Mi\": use 32Mi or more", false},
		"injection: {sidecar: {env: {NOVAWIRE_BACKEND: zipkin}}}":             {"sidecar.env: NOVAWIRE_BACKEND", false},
		"injection: {sidecar: {env: {NOVAWIRE_BAKEND: jaeger}}}":              {"did you mean NOVAWIRE_BACKEND?", false},
		"injection: {sidecar: {secretEnv: {NOVAWIRE_HEADERS: no-key}}}":       {"sidecar.secretEnv.NOVAWIRE_HEADERS", false},
		"injection: {gateway: {grpcEndpoint: 'gateway:4317'}}":                {"gateway.grpcEndpoint", false},
		"injection: {allowedOverrides: {pod: [inject.nova.dev/sevice-name]}}": {"did you mean inject.nova.dev/service-name?", false},
		"injection: {namespaces: {nova: {sidecar: {image: x}}}}":              {`unknown field "injection.namespaces.nova.sidecar.image"`, false},
		"injection: [a]": {"injection", false},
		"injection: {sidecar: {imagePullPolicy: Sometimes, image: ''}}": {"sidecar.image", false},
		// What a pod would make of the same mistake is not said: the file is not used.
		"injection: {sidecar: {env: {NOVAWIRE_ENDPOINT: 'http://a:1', NOVAWIRE_TIMEOUT: 5h}}}":                  {`NOVAWIRE_TIMEOUT: "5h" is refused: use a duration from 100ms to 1m`, true},
		"injection: {defaults: {inject.nova.dev/redact: mask foo}}":                                             {"rule 1 cannot be read: after the action stands key, value or preset", true},
		"injection: {defaults: {inject.nova.dev/redact: 'fail open; mask foo'}}":                                {"rule 1 cannot be read: after the action stands key, value or preset", true},
		"injection: {defaults: {inject.nova.dev/redact: 'fail opne'}}":                                          {`after "fail" stands open or closed`, true},
		"injection: {sidecar: {env: {NOVAWIRE_ENDPOINT: 'https://a', NOVAWIRE_CERT_FILE: /a}}}":                 {"is used only together with NOVAWIRE_KEY_FILE", true},
		"injection: {sidecar: {env: {NOVAWIRE_ENDPOINT: 'https://a', NOVAWIRE_LOG_GROUP: a}}}":                  {"is used only together with NOVAWIRE_LOG_STREAM", true},
		"injection: {sidecar: {env: {NOVAWIRE_BACKEND: xray, AWS_REGION: us-east-1, NOVAWIRE_PROTOCOL: grpc}}}": {"AWS does not accept grpc", true},
		"backup: {defaults: {backup.nova.dev/retention-days: none}}":                                            {`backup: defaults: backup.nova.dev/retention-days: "none" is refused`, false},
		"backup: {allowedOverrides: {object: [backup.nova.dev/buket]}}":                                         {"backup: allowedOverrides: object: \"backup.nova.dev/buket\" is not an annotation that it may set; did you mean backup.nova.dev/bucket?", false},
		"backup: {defaults: {backup.nova.dev/enabled: 'true'}}":                                                 {"it is not a default", false},
		"backup: {env: {AWS_SECRET_ACCESS_KEY: x}}":                                                             {"backup: env.AWS_SECRET_ACCESS_KEY: a secret", false},
		"backup: {env: {RETENTION_DAYS: '7'}}":                                                                  {"backup: env.RETENTION_DAYS: use the annotation", false},
		"backup: {env: {S3_CHEKSUM: none}}":                                                                     {"pg-backup has no such variable", false},
		"backup: {env: {S3_CHECKSUM: md5}}":                                                                     {`env.S3_CHECKSUM: "md5" is refused`, false},
		"backup: {scratch: {medium: Disk, minimum: 0}}":                                                         {"scratch.medium", false},
		"backup: {scratch: {minimum: plenty}}":                                                                  {"quantities must match", false},
		"backup: {network: {storeCIDRs: [10.0.0.1]}}":                                                           {"network.storeCIDRs", false},
		"backup: {telemetryEndpoint: 'collector:4318'}":                                                         {"telemetryEndpoint", false},
		"injection: {kubernetesVersion: '1.37', serviceNameLabels: [a, b]}\n":                                   {"", false},
	} {
		c := Default("")
		err := c.Parse([]byte(text))
		if want.last && err != nil && !strings.HasSuffix(err.Error(), want.part) {
			t.Errorf("%s: %v, want %q at the end", text, err, want.part)
		}
		if want.part == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want.part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

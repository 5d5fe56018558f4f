package sidecar_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// A secret that got into any variable, as a key into the variable for its file, is in
// no output: neither as it is, nor in what is printed of a value that is accepted.
func TestOutput_HidesEverySetting(t *testing.T) {
	const secret = "s3cret"
	forms := map[string]string{
		"a word":        secret,
		"a PEM block":   "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----",
		"a URL's query": "https://gateway:4317/?api_key=" + secret,
		"a URL's user":  "https://user:" + secret + "@gateway:4317",
		"a URL's path":  "https://gateway:4317/" + secret + "/otlp",
		"a pair":        "authorization=Bearer " + secret,
		"a bad pair":    "authorization=Bearer " + secret + ",x",
	}
	// A value of these forms is what the variable is for, and is shown where it is used.
	named := map[string]bool{sidecarapi.EnvLogGroup: true, sidecarapi.EnvLogStream: true}
	harmless := map[string]bool{
		sidecarapi.EnvBackend: true, sidecarapi.EnvProtocol: true, sidecarapi.EnvCompression: true,
		sidecarapi.EnvTimeout: true, sidecarapi.EnvRetryLimit: true, sidecarapi.EnvFlushInterval: true, sidecarapi.EnvDrainTimeout: true,
		sidecarapi.EnvQueueSize: true, sidecarapi.EnvBatchSize: true, sidecarapi.EnvMaxRequestSize: true,
		sidecarapi.EnvSpanMetrics: true, sidecarapi.EnvSpanSeries: true,
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range sidecarapi.Variables() {
		if named[v.Name] || harmless[v.Name] {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			for form, value := range forms {
				environment := []string{"NOVAWIRE_ENDPOINT=http://127.0.0.1:1", "NOVAWIRE_PROTOCOL=http/protobuf", v.Name + "=" + value}
				cmd := exec.Command(path, "print-config")
				cmd.Env = environment
				var output bytes.Buffer
				cmd.Stdout, cmd.Stderr = &output, &output
				if err := cmd.Run(); err != nil {
					t.Fatalf("print-config: %v\n%s", err, output.String())
				}
				if strings.Contains(output.String(), secret) {
					t.Errorf("%s is printed:\n%s", form, output.String())
				}
			}
			if v.Name == sidecarapi.EnvListen || v.Name == sidecarapi.EnvMetricsListen || v.Name == sidecarapi.EnvTerminationFile {
				return // the test's own
			}
			for _, form := range []string{"a PEM block", "a URL's query", "a URL's path"} {
				p := start(t, "NOVAWIRE_ENDPOINT=http://127.0.0.1:1", "NOVAWIRE_PROTOCOL=http/protobuf", "NOVAWIRE_DRAIN_TIMEOUT=0s", v.Name+"="+forms[form])
				app := newClient(t, p.otlp)
				_ = app.send(app.spans(1, 0))
				p.stop()
				if strings.Contains(p.log(), secret) {
					t.Errorf("%s is logged:\n%s", form, p.log())
				}
			}
		})
	}
}

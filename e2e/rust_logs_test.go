//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/fakelogs"
)

// The pod that stands for the DaemonSet, and where that keeps its state on the node.
const (
	logsPod   = "e2e-fluent-bit"
	stateDir  = "/var/lib/novawire-fluent-bit"
	linksDir  = stateDir + "/pods/containers"
	chunksDir = stateDir + "/e2e"
)

// checkLogLines delivers what the pods of the namespace have logged with the DaemonSet's own
// pod: its image with the plugin, its check of the configuration, and its agent, which links
// the files of wired pods. Fluent Bit's image is not available here. So the test reads the
// files as the tail input does, and the host that models Fluent Bit runs the plugin with the
// settings of the configuration.
func (n namespace) checkLogLines(trace string) {
	n.t.Helper()
	logs := startFluentBit(n.t)
	var files []string
	eventually(n.t, "the files of the node have the lines of both services", time.Minute, func(context.Context) (bool, error) {
		files = files[:0]
		found := map[string]bool{}
		for name := range strings.Lines(logs.exec("", "ls", linksDir)) {
			name = strings.TrimSpace(name)
			parts := strings.Split(name, "_") // pod, namespace, container and its id
			if len(parts) != 3 || parts[1] != n.name {
				continue
			}
			file, has := logs.writeChunk(name, trace)
			files = append(files, file)
			container := parts[2][:max(0, strings.LastIndexByte(parts[2], '-'))]
			found[container] = found[container] || has
		}
		return found[userService] && found[contentService], nil
	})
	out := logs.exec("", append([]string{"host", "/novawire/out_novawire.so"}, append(logs.settings(), append([]string{"--"}, files...)...)...)...)
	if want := fmt.Sprintf("done=%d again=0 error=0 ", len(files)); !strings.Contains(out, want) {
		n.t.Errorf("the host of the plugin printed no %q:\n%s", want, out)
	}

	var report struct {
		Events     []fakelogs.Event
		Violations []string
	}
	answer, err := logs.get(n.t.Context(), logsPod, 8080, "/logs")
	if err != nil || json.Unmarshal(answer, &report) != nil || len(report.Violations) > 0 {
		n.t.Fatalf("ask CloudWatch Logs: %v, violations %q: %.500s", err, report.Violations, answer)
	}
	for name, service := range map[string]string{"GET /feed/{user}": userService, "GET /trending": contentService, "content.v1.Content/List": contentService} {
		if !slices.ContainsFunc(report.Events, func(e fakelogs.Event) bool {
			return e.Group == "/nova/"+n.name+"/"+service && strings.Contains(e.Message, trace) && strings.Contains(e.Message, name)
		}) {
			n.t.Errorf("no line of %s in the log group of %s has the trace %s", name, service, trace)
		}
	}
}

// startFluentBit runs the pod of the DaemonSet of manifests/base/logging. Instead of Fluent
// Bit it has the host of the plugin, and CloudWatch Logs beside it.
func startFluentBit(t *testing.T) namespace {
	t.Helper()
	n := namespace{resourcesIn(t, loggingNamespace), t, loggingNamespace}
	var set appsv1.DaemonSet
	built, _ := kubectl(t, "", "kustomize", "../manifests/base/logging")
	for document := range strings.SplitSeq(built, "\n---\n") {
		if strings.Contains(document, "\nkind: DaemonSet\n") {
			if err := yaml.UnmarshalStrict([]byte(document), &set); err != nil {
				t.Fatal(err)
			}
		}
	}
	pod := &corev1.Pod{ObjectMeta: meta(n.name, logsPod), Spec: set.Spec.Template.Spec}
	pod.Labels = map[string]string{"app": logsPod}
	for key, value := range set.Spec.Template.Labels {
		pod.Labels[key] = value
	}
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Image = "ghcr.io/nova/novawire-fluentbit:dev"
		setVariable(&pod.Spec.InitContainers[i], "AWS_REGION", region)
	}
	c := &pod.Spec.Containers[0]
	c.Image, c.Command, c.Args = "ghcr.io/nova/e2e-pluginhost:dev", []string{"sleep", "infinity"}, nil
	c.Ports, c.LivenessProbe, c.ReadinessProbe = nil, nil, nil
	setVariable(c, "AWS_ACCESS_KEY_ID", accessKey)
	setVariable(c, "AWS_SECRET_ACCESS_KEY", secretKey)
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
		Name: "cloudwatch-logs", Image: xrayImage, SecurityContext: c.SecurityContext,
		Args: []string{"-logs=127.0.0.1:4319", "-region=" + region, "-access-key=" + accessKey, "-secret-key=" + secretKey},
	})
	pod.Spec.TerminationGracePeriodSeconds = new(int64(1))
	n.create(pod)
	t.Cleanup(func() { kubectl(t, "", "-n", n.name, "delete", "pod", logsPod, "--ignore-not-found", "--wait=false") })
	n.pod(logsPod, readyOrSucceeded)
	return n
}

func setVariable(c *corev1.Container, name, value string) {
	c.Env = slices.DeleteFunc(slices.Clone(c.Env), func(v corev1.EnvVar) bool { return v.Name == name })
	c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
}

// exec runs a command in the container fluent-bit and returns its output.
func (n namespace) exec(stdin string, command ...string) string {
	n.t.Helper()
	out, _ := kubectl(n.t, stdin, append([]string{"-n", n.name, "exec", "-i", logsPod, "-c", "fluent-bit", "--"}, command...)...)
	return out
}

// writeChunk writes the lines of a linked file as one chunk, named after its tag, and reports
// whether one has the trace.
func (n namespace) writeChunk(link, trace string) (file string, has bool) {
	n.t.Helper()
	var records []chunks.Raw
	for line := range strings.Lines(n.exec("", "cat", linksDir+"/"+link)) {
		text, complete := strings.CutSuffix(line, "\n")
		if !complete {
			break // it is being written
		}
		fields := strings.SplitN(text, " ", 4) // time, stream, P or F, text
		at, err := time.Parse(time.RFC3339Nano, fields[0])
		if err != nil || len(fields) != 4 || fields[2] != "F" {
			n.t.Fatalf("%s has the line %q: %v", link, line, err)
		}
		records = append(records, chunks.Line(at, fields[3], nil))
		has = has || strings.Contains(fields[3], trace)
	}
	file = chunksDir + "/kube." + strings.ReplaceAll(strings.TrimPrefix(linksDir, "/"), "/", ".") + "." + link
	n.exec(string(chunks.Chunk(records...)), "sh", "-c", `mkdir -p "$0" && cat >"$1"`, chunksDir, file)
	return file, has
}

// settings returns those of the plugin in the configuration, with the variables of the pod.
func (n namespace) settings() (all []string) {
	n.t.Helper()
	text, err := os.ReadFile("../manifests/base/logging/fluent-bit.yaml")
	if err != nil {
		n.t.Fatal(err)
	}
	var configuration struct {
		Pipeline struct{ Outputs []map[string]any }
	}
	if err := yaml.Unmarshal(text, &configuration); err != nil || len(configuration.Pipeline.Outputs) != 1 {
		n.t.Fatalf("%d outputs: %v", len(configuration.Pipeline.Outputs), err)
	}
	variables := map[string]string{"AWS_REGION": region, "NODE_NAME": n.pod(logsPod, readyOrSucceeded).Spec.NodeName}
	for key, value := range configuration.Pipeline.Outputs[0] {
		all = append(all, key+"="+os.Expand(fmt.Sprint(value), func(name string) string { return variables[name] }))
	}
	return append(all, "endpoint=http://127.0.0.1:4319")
}

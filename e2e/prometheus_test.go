//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
)

const (
	prometheusImage   = "ghcr.io/nova/e2e-prometheus:dev"
	alertmanagerImage = "ghcr.io/nova/e2e-alertmanager:dev"
)

// monitoring is infra/prometheus on the cluster: Prometheus, Alertmanager and, as the
// receiver of the alerts, an app of the test.
type monitoring struct{ namespace }

var installed sync.Once

// installMonitoring applies infra/prometheus as a user does, except for what [shortened]
// changes.
func installMonitoring(t *testing.T) monitoring {
	t.Helper()
	m := monitoring{namespace{resourcesIn(t, "monitoring"), t, "monitoring"}}
	installed.Do(func() {
		objects, _ := kubectl(t, "", "kustomize", "../infra/prometheus")
		kubectl(t, shortened(objects), "apply", "--server-side", "--force-conflicts", "-f", "-")
		receiver := deployment(m.name, "receiver")
		receiver.Spec.Template.Labels[injection.LabelWiring] = injection.WiringDisabled
		m.create(receiver)
		m.create(&corev1.Service{ObjectMeta: meta(m.name, "receiver"), Spec: corev1.ServiceSpec{
			Selector: receiver.Spec.Template.Labels, Ports: []corev1.ServicePort{{Port: 8080}},
		}})
	})
	for _, app := range []string{"receiver", "alertmanager", "prometheus"} {
		m.pod(app, readyOrSucceeded)
	}
	return m
}

// shortened is the one difference between infra/prometheus and what the test applies: the
// images of the test; a receiver; and time. It scrapes and evaluates each second. In the rules
// a minute of a window becomes a second, what must have lasted for minutes or hours must last
// two seconds, and these limits shrink: backups are missed after 26 seconds instead of hours,
// not verified after 10 seconds instead of 100 days, and seconds are divided by 60.
func shortened(objects string) string {
	change := func(pattern, to string) {
		if re := regexp.MustCompile(pattern); re.MatchString(objects) {
			objects = re.ReplaceAllString(objects, to)
		} else {
			panic("infra/prometheus has no " + pattern)
		}
	}
	change(`prom/prometheus:v[0-9.]+`, prometheusImage)
	change(`prom/alertmanager:v[0-9.]+`, alertmanagerImage)
	change(`- name: (critical|warning)\n`, `- {name: $1, webhook_configs: [{url: "http://receiver:8080/inbox"}]}`+"\n")
	change(`(?m)^( +)group_by: .*$`, "$0\n${1}group_wait: 1s\n${1}group_interval: 1s")
	change(`(scrape|evaluation)_interval: [0-9]+s`, "${1}_interval: 1s")
	change(`- --storage.tsdb.retention.time=15d`, "$0\n        - --rules.alert.resend-delay=1s")
	change(`\bfor: [0-9]+[mh]`, "for: 2s")
	change(`26\s+\*\s+3600`, "26")
	change(`100\s+\*\s+86400`, "10")
	change(`> 1800`, "> 30")
	change(`> 300`, "> 5")
	for unit, seconds := range map[string]int{"m": 1, "h": 60, "d": 1440} {
		window := regexp.MustCompile(`(\[|offset\s+)([0-9]+)` + unit + `\b`)
		objects = window.ReplaceAllStringFunc(objects, func(text string) string {
			parts := window.FindStringSubmatch(text)
			n, _ := strconv.Atoi(parts[2])
			return fmt.Sprintf("%s%ds", parts[1], n*seconds)
		})
	}
	return objects
}

// query returns the samples of an instant query: their labels and values.
func (m monitoring) query(ctx context.Context, expr string) (samples []sample, err error) {
	answer, err := m.clientset().CoreV1().Services(m.name).ProxyGet("http", "prometheus", "9090", "/api/v1/query", map[string]string{"query": expr}).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var body struct {
		Data struct{ Result []sample }
	}
	err = json.Unmarshal(answer, &body)
	return body.Data.Result, err
}

type sample struct {
	Metric map[string]string
	Value  [2]any // time and value
}

// labels is an alert or a series: its name and other labels.
type labels map[string]string

func alert(name string, pairs ...string) labels {
	l := labels{"alertname": name}
	for i := 0; i < len(pairs); i += 2 {
		l[pairs[i]] = pairs[i+1]
	}
	return l
}

// received returns the alerts that have arrived at the receiver as firing since a time.
func (m monitoring) received(ctx context.Context, since time.Time) (alerts []labels, err error) {
	text, err := m.get(ctx, "receiver", 8080, "/inbox")
	if err != nil {
		return nil, err
	}
	for decoder := json.NewDecoder(strings.NewReader(string(text))); ; {
		var message struct {
			Alerts []struct {
				Status      string
				Labels      labels
				Annotations map[string]string
				StartsAt    time.Time
			}
		}
		if err := decoder.Decode(&message); err == io.EOF {
			return alerts, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the receiver's inbox: %w", err)
		}
		for _, a := range message.Alerts {
			if a.Status == "firing" && a.StartsAt.After(since) && a.Annotations["summary"] != "" && a.Annotations["runbook_url"] != "" {
				alerts = append(alerts, a.Labels)
			}
		}
	}
}

// expect waits until alerts with these labels have arrived that began after since. It
// repeats the failure meanwhile, if there is one to repeat.
func (m monitoring) expect(since time.Time, failure func(context.Context), want ...labels) {
	m.t.Helper()
	var missing []labels
	err := poll(m.t, 4*time.Minute, func(ctx context.Context) (bool, error) {
		if failure != nil {
			failure(ctx)
		}
		got, err := m.received(ctx, since)
		missing = nil
		for _, w := range want {
			if !slices.ContainsFunc(got, w.within) {
				missing = append(missing, w)
			}
		}
		if err != nil {
			m.t.Logf("the receiver: %v", err) // its pod may be starting
			return false, nil
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		m.t.Errorf("alerts have not arrived: %v: %v", missing, err)
	}
}

// within reports whether other has all labels of l.
func (l labels) within(other labels) bool {
	return maps.Equal(l, subset(other, l))
}

// post sends a body to a path of a pod or Service (NAME:PORT) through the API server. It
// ignores the answer: some are refusals that the test wants.
func (n namespace) post(ctx context.Context, resource, name, path string, body io.Reader) {
	n.clientset().CoreV1().RESTClient().Post().Namespace(n.name).Resource(resource).Name(name).SubResource("proxy").Suffix(path).
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx)
}

// rule is an alert of infra/prometheus.
type rule struct{ Alert, Expr string }

func rules(t *testing.T) (all []rule) {
	t.Helper()
	text, err := os.ReadFile("../infra/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

package monitoring

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// TestScrapeConfiguration checks infra/prometheus: promtool accepts it, and it treats
// pods as the PodMonitor does.
func TestScrapeConfiguration(t *testing.T) {
	text, err := os.ReadFile("../infra/prometheus/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}

	t.Run("promtool accepts it", func(t *testing.T) {
		promtool := prerequisite.Path(t, "NOVAWIRE_PROMTOOL", "promtool")
		// Debian's promtool is built without the discovery of Kubernetes.
		static := regexp.MustCompile(`kubernetes_sd_configs: \[.*\]`).ReplaceAll(text, []byte(`static_configs: [{targets: ["localhost:1"]}]`))
		dir := t.TempDir()
		write(t, filepath.Join(dir, "prometheus.yaml"), static)
		rules, err := RuleFile(Groups())
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "rules.yaml"), rules)
		if out, err := exec.Command(promtool, "check", "config", filepath.Join(dir, "prometheus.yaml")).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})

	t.Run("it scrapes the app, whatever the annotations of others say", func(t *testing.T) {
		promtool := prerequisite.Path(t, "NOVAWIRE_PROMTOOL", "promtool")
		type annotations = map[string]string
		for _, c := range []struct {
			ip   string
			pod  annotations
			want string // "" if it is not scraped
		}{
			{"10.0.0.1", annotations{"prometheus_io_scrape": "true", "prometheus_io_port": "9090", "prometheus_io_path": "/m", "prometheus_io_scheme": "https"}, "https://10.0.0.1:9090/m"},
			{"fd00::1", annotations{"prometheus_io_scrape": "true", "prometheus_io_port": "9090"}, "http://[fd00::1]:9090/metrics"},
			{"10.0.0.1", annotations{"prometheus_io_scrape": "true", "prometheus_io_port": "15020", "prometheus_io_path": "/stats/prometheus"}, "http://10.0.0.1:15020/stats/prometheus"},
			{"10.0.0.1", annotations{"prometheus_io_scrape": "true", "prometheus_io_port": "20200", "prometheus_io_path": "/envoy", "nova_dev_metrics_endpoint": "http://:9090/metrics"}, "http://10.0.0.1:9090/metrics"},
			{"fd00::1", annotations{"prometheus_io_scrape": "true", "prometheus_io_port": "15020", "nova_dev_metrics_endpoint": "https://:9090/m/x"}, "https://[fd00::1]:9090/m/x"},
			{"10.0.0.1", annotations{"prometheus_io_scrape": "false", "prometheus_io_port": "9090"}, ""},
		} {
			if got := scraped(t, promtool, text, c.ip, c.pod); got != c.want {
				t.Errorf("%s %v: scraped is %q, want %q", c.ip, c.pod, got, c.want)
			}
		}
	})

	for job, file := range map[string]string{"nova-pods": "pods.yaml", "novawire-sidecars": "sidecars.yaml"} {
		t.Run("it relabels pods as the PodMonitor does: "+job, func(t *testing.T) {
			monitor, err := os.ReadFile("../manifests/base/monitoring/" + file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(monitorRelabelings(t, monitor), jobRelabelings(t, text, job)); diff != "" {
				t.Errorf("PodMonitor (-) and prometheus.yaml (+) differ:\n%s", diff)
			}
		})
	}
}

// jobRelabelings returns the rules of a job, without those that the operator adds itself.
func jobRelabelings(t *testing.T, config []byte, name string) (rules []map[string]any) {
	t.Helper()
	var plain struct {
		ScrapeConfigs []struct {
			JobName        string           `json:"job_name"`
			RelabelConfigs []map[string]any `json:"relabel_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(config, &plain); err != nil {
		t.Fatal(err)
	}
	operators := regexp.MustCompile(`pod_label_nova_dev_metrics|pod_phase|kubernetes_namespace|kubernetes_pod_name|pod_container_port_name`)
	for _, job := range plain.ScrapeConfigs {
		for _, r := range job.RelabelConfigs {
			if source, _ := yaml.Marshal(r["source_labels"]); job.JobName == name && !operators.Match(source) {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// monitorRelabelings returns the rules of a PodMonitor as Prometheus spells them.
func monitorRelabelings(t *testing.T, monitor []byte) (rules []map[string]any) {
	t.Helper()
	var pods struct {
		Spec struct {
			PodMetricsEndpoints []struct {
				Relabelings []map[string]any `json:"relabelings"`
			} `json:"podMetricsEndpoints"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(monitor, &pods); err != nil {
		t.Fatal(err)
	}
	for _, r := range pods.Spec.PodMetricsEndpoints[0].Relabelings {
		if r["action"] == "labeldrop" { // labels that only the operator adds
			continue
		}
		snake := map[string]any{}
		for key, value := range r {
			snake[strings.NewReplacer("sourceLabels", "source_labels", "targetLabel", "target_label").Replace(key)] = value
		}
		rules = append(rules, snake)
	}
	return rules
}

// scraped returns the URL at which Prometheus scrapes a pod, by the job nova-pods.
func scraped(t *testing.T, promtool string, config []byte, ip string, annotations map[string]string) string {
	t.Helper()
	labels := map[string]string{"__meta_kubernetes_pod_label_nova_dev_metrics": "true", "__meta_kubernetes_pod_ip": ip}
	for key, value := range annotations {
		labels["__meta_kubernetes_pod_annotation_"+key] = value
	}
	static, err := json.Marshal([]any{map[string]any{"targets": []string{"pod:1"}, "labels": labels}})
	if err != nil {
		t.Fatal(err)
	}
	_, job, _ := strings.Cut(string(config), "- job_name: nova-pods\n")
	job, _, _ = strings.Cut(job, "  - job_name:")
	job = strings.Replace(job, "kubernetes_sd_configs: [{role: pod}]", "static_configs: "+string(static), 1)
	file := filepath.Join(t.TempDir(), "prometheus.yaml")
	write(t, file, []byte("scrape_configs:\n  - job_name: nova-pods\n"+job))
	out, err := exec.Command(promtool, "check", "service-discovery", "--timeout=500ms", file, "nova-pods").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(found) != 1 {
		t.Fatalf("promtool found %d targets", len(found))
	}
	target := found[0].Labels
	if len(target) == 0 {
		return ""
	}
	return target["__scheme__"] + "://" + target["__address__"] + target["__metrics_path__"]
}

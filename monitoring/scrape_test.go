package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestScrapeConfiguration checks infra/prometheus: promtool accepts it, and it treats
// pods as the PodMonitor does.
func TestScrapeConfiguration(t *testing.T) {
	text, err := os.ReadFile("../infra/prometheus/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}

	t.Run("promtool accepts it", func(t *testing.T) {
		promtool := os.Getenv("NOVAWIRE_PROMTOOL")
		if promtool == "" {
			t.Skip(`NOVAWIRE_PROMTOOL is not set; run: eval "$(tools/provide promtool env)" && go test ./monitoring`)
		}
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

	t.Run("it relabels pods as the PodMonitor does", func(t *testing.T) {
		var plain struct {
			ScrapeConfigs []struct {
				JobName        string           `json:"job_name"`
				RelabelConfigs []map[string]any `json:"relabel_configs"`
			} `json:"scrape_configs"`
		}
		if err := yaml.Unmarshal(text, &plain); err != nil {
			t.Fatal(err)
		}
		monitor, err := os.ReadFile("../manifests/base/monitoring/pods.yaml")
		if err != nil {
			t.Fatal(err)
		}
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
		var got []map[string]any
		for _, job := range plain.ScrapeConfigs {
			if job.JobName != "nova-pods" {
				continue
			}
			for _, r := range job.RelabelConfigs {
				// The operator adds these rules itself.
				source, _ := yaml.Marshal(r["source_labels"])
				if !regexp.MustCompile(`pod_label_nova_dev_metrics|pod_phase|kubernetes_namespace|kubernetes_pod_name`).Match(source) {
					got = append(got, r)
				}
			}
		}
		var want []map[string]any
		for _, r := range pods.Spec.PodMetricsEndpoints[0].Relabelings {
			if r["action"] == "labeldrop" { // labels that only the operator adds
				continue
			}
			snake := map[string]any{}
			for key, value := range r {
				snake[strings.NewReplacer("sourceLabels", "source_labels", "targetLabel", "target_label").Replace(key)] = value
			}
			want = append(want, snake)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("PodMonitor (-) and prometheus.yaml (+) differ:\n%s", diff)
		}
	})
}

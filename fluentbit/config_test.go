package fluentbit_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/record"
)

func parse(keys map[string]string) (fluentbit.Config, error) {
	return fluentbit.ParseConfig(func(key string) string { return keys[key] })
}

func TestParseConfig_Mistakes(t *testing.T) {
	cases := map[string]struct {
		key, value, says string
	}{
		"no region":                  {"region", "", "AWS_REGION"},
		"an endpoint without scheme": {"endpoint", "logs:443", "http or https"},
		"a name that is unknown":     {"log_group", "/nova/{pood}", "{pood}"},
		"a brace that is open":       {"log_group", "/nova/{pod", "not a placeholder"},
		"a character of no group":    {"log_group", "/nova {pod}", `" "`},
		"a name of the service":      {"log_group", "aws/x", "reserved"},
		"a group that is too long":   {"log_group", strings.Repeat("x", 513), "512"},
		"a character of no stream":   {"log_stream", "a:b", `":"`},
		"days that are not taken":    {"retention_days", "6", "[0 1 3 5 7"},
		"days that are no number":    {"retention_days", "week", "days"},
		"a time that is too short":   {"flush_timeout", "10ms", "from 1s"},
		"a time without a unit":      {"request_timeout", "5", "duration"},
		"an unknown choice":          {"kubernetes", "some", "names, all"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			keys := map[string]string{"region": "eu-west-1", "retention_days": "7"}
			if _, err := parse(keys); err != nil {
				t.Fatal(err)
			}
			keys[c.key] = c.value
			_, err := parse(keys)
			if err == nil || !strings.HasPrefix(err.Error(), c.key+" ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v", err)
			}
		})
	}
	if _, err := parse(map[string]string{"retention_days": "6", "kubernetes": "x"}); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error is %v", err)
	}
}

func TestParseConfig_UnknownKeys(t *testing.T) {
	for typo, key := range map[string]string{"metrics_listn": "metrics_listen", "nod": "node", "noed": "node", "regions": "region", "log_grop": "log_group", "flush-timeout": "flush_timeout"} {
		t.Run(typo, func(t *testing.T) {
			_, err := parse(map[string]string{"region": "eu-west-1", typo: "x"})
			if want := typo + ": no such key: " + key + " is meant?"; err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
}

func TestParseConfig_Region(t *testing.T) {
	for _, region := range []string{
		"us-east-1", "eu-central-2", "ap-northeast-3", "me-south-1", "il-central-1", "cn-northwest-1", "us-gov-west-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1",
	} {
		if _, err := parse(map[string]string{"region": region}); err != nil {
			t.Error(err)
		}
	}
	for _, region := range []string{"eu-wset-1", "eu-west", "eu--1", "EU-WEST-1", "west-1"} {
		if _, err := parse(map[string]string{"region": region}); err == nil {
			t.Errorf("the region %s is accepted", region)
		}
	}
	if _, err := parse(map[string]string{"region": "local", "endpoint": "http://127.0.0.1:1"}); err != nil {
		t.Error(err)
	}
}

func TestParseConfig_Endpoint(t *testing.T) {
	for name, c := range map[string]struct {
		keys map[string]string
		want string // "" if it is refused
	}{
		"of a region":            {map[string]string{"region": "eu-west-1"}, "https://logs.eu-west-1.amazonaws.com"},
		"of China":               {map[string]string{"region": "cn-north-1"}, "https://logs.cn-north-1.amazonaws.com.cn"},
		"of the EU's sovereign":  {map[string]string{"region": "eusc-de-east-1"}, "https://logs.eusc-de-east-1.amazonaws.eu"},
		"with validated ciphers": {map[string]string{"region": "us-gov-west-1", "use_fips_endpoint": "true"}, "https://logs-fips.us-gov-west-1.amazonaws.com"},
		"of a proxy":             {map[string]string{"region": "eu-west-1", "endpoint": "http://127.0.0.1:80/x/"}, "http://127.0.0.1:80/x"},
		"without a scheme":       {map[string]string{"region": "eu-west-1", "endpoint": "logs.eu-west-1"}, ""},
		"of another scheme":      {map[string]string{"region": "eu-west-1", "endpoint": "ftp://x"}, ""},
		"with a user":            {map[string]string{"region": "eu-west-1", "endpoint": "http://user@x"}, ""},
		"with a query":           {map[string]string{"region": "eu-west-1", "endpoint": "http://x?y"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(c.keys)
			if (err == nil) != (c.want != "") || err == nil && got.Endpoint != c.want {
				t.Errorf("endpoint is %s, error %v, want %q", got.Endpoint, err, c.want)
			}
		})
	}
}

func TestTemplate_Fill(t *testing.T) {
	c, err := parse(map[string]string{"region": "eu-west-1", "log_group": "/{namespace}/{service}/{container}", "log_stream": "{node}/{pod}"})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		pod  record.Pod
		want []string
	}{
		"as it is":           {record.Pod{Namespace: "nova", Service: "feed", Container: "app", Node: "n", Name: "feed-0"}, []string{"/nova/feed/app", "n/feed-0"}},
		"unknown":            {record.Pod{}, []string{"/none/none/none", "none/none"}},
		"made allowed":       {record.Pod{Namespace: "a b", Service: "é:*", Container: "{pod}", Node: "a:b*c", Name: "\x00"}, []string{"/a_b/___/_pod_", "a_b_c/_"}},
		"longer than may be": {record.Pod{Service: strings.Repeat("s", 600), Node: strings.Repeat("ü", 600)}, []string{"/none/" + strings.Repeat("s", 506), strings.Repeat("ü", 512)}},
	}
	for name, k := range cases {
		if diff := cmp.Diff(k.want, []string{c.Group.Fill(&k.pod), c.Stream.Fill(&k.pod)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The guide lists every key with its default, and every metric.
func TestGuide_ListsKeysAndMetrics(t *testing.T) {
	guide, err := os.ReadFile("../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range fluentbit.Keys() {
		if !strings.Contains(string(guide), "\n| `"+key+"` | ") {
			t.Errorf("the key %s is not in the guide", key)
		}
	}
	var metrics strings.Builder
	fluentbit.WriteMetrics(&metrics, nil)
	for line := range strings.Lines(metrics.String()) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "# HELP novawire_logs_"), " ")
		if strings.HasPrefix(line, "# HELP") && !strings.Contains(string(guide), name+"`") {
			t.Errorf("the metric %s is not in the guide", name)
		}
	}
}

package sidecar_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar/ledger"
)

var everySignal = []string{"traces", "metrics", "logs"}

// sendAll sends items of every signal, by clients of their own.
func sendAll(t *testing.T, p *process, n int) map[string]*client {
	t.Helper()
	apps := map[string]*client{}
	for _, signal := range everySignal {
		apps[signal] = newClient(t, p.otlp)
	}
	_ = apps["traces"].send(apps["traces"].spans(n, 0))
	_ = apps["metrics"].points(n)
	_ = apps["logs"].records(n)
	return apps
}

func TestBackend_Gateway(t *testing.T) {
	for _, protocol := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			backend := receiver(t, fakeotlp.Options{})
			p := start(t, to(backend, protocol, "NOVAWIRE_HEADERS=authorization=Bearer%20to%24{ken}",
				"NOVAWIRE_RESOURCE_ATTRIBUTES=k8s.pod.name=cart-1,service.name=ignored,note=a%20${b}%2Cc")...)
			apps := sendAll(t, p, 100)
			entries := p.stop()
			for _, signal := range everySignal {
				reconcile(t, apps[signal], entries[signal], backend, signal)
				if entries[signal].Exported != 100 {
					t.Errorf("%s: exported %d, want 100", signal, entries[signal].Exported)
				}
			}
			want := map[string]string{"service.name": "checkout", "k8s.pod.name": "cart-1", "note": "a ${b},c"}
			if diff := cmp.Diff(want, backend.Resource("traces")); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
			if got := backend.Header("authorization"); got != "Bearer to${ken}" {
				t.Errorf("header is %q", got)
			}
			if strings.Contains(p.log(), "ken}") {
				t.Errorf("a secret is in the log:\n%s", p.log())
			}
		})
	}
}

func TestBackend_Jaeger_DropsOtherSignals(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_BACKEND=jaeger")...)
	apps := sendAll(t, p, 10)
	entries := p.stop()
	for _, signal := range everySignal {
		reconcile(t, apps[signal], entries[signal], backend, signal)
	}
	drops(t, entries["traces"])
	drops(t, entries["metrics"], ledger.NoBackend.String())
	drops(t, entries["logs"], ledger.NoBackend.String())
}

// aws are the keys that the fake knows.
var aws = &fakeotlp.AWS{Region: "eu-west-1", AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

func toAWS(r *fakeotlp.Receiver, more ...string) []string {
	return append([]string{
		"NOVAWIRE_BACKEND=xray", "NOVAWIRE_AWS_REGION=" + aws.Region, "NOVAWIRE_ENDPOINT=http://" + r.HTTP(),
		"NOVAWIRE_LOG_GROUP=/nova/apps", "NOVAWIRE_LOG_STREAM=cart-1",
		"AWS_ACCESS_KEY_ID=" + aws.AccessKey, "AWS_SECRET_ACCESS_KEY=" + aws.SecretKey,
	}, more...)
}

func TestBackend_XRay(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{AWS: aws})
	p := start(t, toAWS(backend)...)
	apps := sendAll(t, p, 10)
	entries := p.stop()
	for _, signal := range everySignal {
		reconcile(t, apps[signal], entries[signal], backend, signal)
		if entries[signal].Exported != 10 {
			t.Errorf("%s: exported %d, want 10", signal, entries[signal].Exported)
		}
	}
}

// The proof of the fake: it does not take what is signed with another key.
func TestBackend_XRay_WrongKey(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{AWS: aws})
	p := start(t, toAWS(backend, "AWS_SECRET_ACCESS_KEY=another")...)
	_ = newClient(t, p.otlp).send(newClient(t, p.otlp).spans(10, 0))
	drops(t, p.stop()["traces"], ledger.Rejected.String())
	if problems := backend.Problems(); len(problems) == 0 || !strings.Contains(problems[0], "signature does not match") {
		t.Errorf("problems are %q", problems)
	}
}

// X-Ray's limits hold however the application sends: the receiver complains of
// a request beyond 5 MB or 10,000 spans.
func TestBackend_XRay_Limits(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{AWS: aws})
	p := start(t, toAWS(backend, "NOVAWIRE_FLUSH_INTERVAL=1m", "NOVAWIRE_COMPRESSION=none", "NOVAWIRE_QUEUE_SIZE=64Mi", "GOMEMLIMIT=1GiB")...)
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(12_000, 0))   // too many for one request
	_ = app.post(app.spans(30, 100_000)) // too much for one request
	_ = app.send(app.spans(1, 250_000))  // too much for a span
	_ = app.send(app.spans(2, 300_000))  // both too much, in a request that is not
	for range 40 {
		_ = app.send(app.spans(900, 0)) // too many together
	}
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	drops(t, e)
	if e.Refused["oversize"] != 3 {
		t.Errorf("refused %d as oversize, want the three spans of 250 kB and more", e.Refused["oversize"])
	}
	if e.Exported != 48_030 {
		t.Errorf("exported %d, want 48030", e.Exported)
	}
}

// Nothing to send to: telemetry is taken and counted, and the pod runs on.
func TestBackend_None(t *testing.T) {
	cases := map[string][]string{
		"no endpoint":           nil,
		"an endpoint of no URL": {"NOVAWIRE_ENDPOINT=gateway"},
		"xray without a region": {"NOVAWIRE_BACKEND=xray"},
		"nothing is right":      {"NOVAWIRE_BACKEND=x", "NOVAWIRE_ENDPOINT=::", "NOVAWIRE_PROTOCOL=x", "NOVAWIRE_QUEUE_SIZE=-1", "NOVAWIRE_TIMEOUT=0s", "NOVAWIRE_HEADERS=x", "NOVAWIRE_STORAGE_DIR=x"},
	}
	for name, environment := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, environment...)
			apps := sendAll(t, p, 10)
			if p.metric("novawire_sidecar_mistakes") < 1 {
				t.Error("no mistake is told in the metrics")
			}
			entries := p.stop()
			for _, signal := range everySignal {
				drops(t, entries[signal], ledger.NoBackend.String())
				if entries[signal].Accepted != apps[signal].accepted.Load() || apps[signal].refused.Load() != 0 {
					t.Errorf("%s: accepted %d of %d", signal, entries[signal].Accepted, apps[signal].accepted.Load())
				}
			}
			if !strings.Contains(p.log(), "setting is ignored") {
				t.Errorf("no mistake is told in the log:\n%s", p.log())
			}
		})
	}
}

// A backend sees who sends.
func TestBackend_UserAgent(t *testing.T) {
	for _, protocol := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			backend := receiver(t, fakeotlp.Options{})
			p := start(t, to(backend, protocol)...)
			app := newClient(t, p.otlp)
			_ = app.send(app.spans(1, 0))
			p.stop()
			if got := backend.Header("user-agent"); !strings.HasPrefix(got, "novawire-sidecar") {
				t.Errorf("user agent is %q", got)
			}
		})
	}
}

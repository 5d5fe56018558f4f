package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionreview "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/nova/novawire/internal/testing/admissionbaseline"
	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/testing/samplepod"
)

// The peer of the handler's benchmark is the same server of controller-runtime
// with the baseline, in a process of its own: this test program again.
const peerVariable = "NOVAWIRE_BENCH_PEER"

func servePeer(port string) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	var wired corev1.Pod
	text, err := os.ReadFile("wired.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &wired); err != nil {
		return err
	}
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: "127.0.0.1", Port: number, CertDir: ".",
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
	})
	server.Register("/mutate-pod", admissionbaseline.Webhook(admissionbaseline.Change(&wired)))
	server.Register("/nothing", answerWith([]byte(`{"patch":""}`)))
	if text, err = os.ReadFile("answer.json"); err != nil {
		return err
	}
	server.Register("/same", answerWith(text))
	return server.Start(context.Background())
}

// answerWith reads a review and answers without a look at it: what remains is the cost of
// TLS, HTTP/2, the client, and the size of the answer.
func answerWith(text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}
}

// startPeer starts it and waits until it answers.
func (m *environment) startPeer(wired, answer, body []byte) string {
	m.Helper()
	m.write("wired.json", wired)
	m.write("answer.json", answer)
	self, err := os.Executable()
	if err != nil {
		m.Fatal(err)
	}
	port := freePort(m)
	process := exec.Command(self)
	process.Dir = m.dir
	process.Env = append(os.Environ(), peerVariable+"="+strconv.Itoa(port))
	if err := process.Start(); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	url := "https://" + address(port) + "/mutate-pod"
	m.eventually("served by the baseline", func() bool {
		_, err := review(newClient(), url, body)
		return err == nil
	})
	return url
}

// BenchmarkWebhook loads the running manager, and the baseline in the same
// server, over TLS from this process, by turns; then it reads how much memory
// the manager has held at most.
func BenchmarkWebhook(b *testing.B) {
	if !bench.Selected("webhook/https") && !bench.Selected("webhook/memory") {
		b.Skip("run it with: make bench BENCH=webhook")
	}
	m := startManager(b)
	pod := samplepod.Small()
	body := reviewOf(b, m.namespace(nil), pod)
	ours := "https://" + address(m.port) + "/mutate-pod"
	response, err := review(newClient(), ours, body)
	if err != nil {
		b.Fatal(err)
	}
	wired := patched(b, pod, response)
	peer := m.startPeer(wired, response, body)

	const rounds, turn = 5, 2 * time.Second
	constant := strings.TrimSuffix(peer, "/mutate-pod")
	urls := [...]string{ours, peer, constant + "/nothing", constant + "/same"}
	var rates [len(urls)][]float64
	for range rounds {
		for i, url := range urls {
			rates[i] = append(rates[i], saturate(b, url, body, turn))
		}
	}
	var median [len(urls)]float64
	for i := range rates {
		slices.Sort(rates[i])
		median[i] = rates[i][rounds/2]
	}
	o := median[0]
	for i, name := range []string{1: "webhook/https", 2: "webhook/https-of-nothing", 3: "webhook/https-of-same-answer"} {
		if i > 0 {
			bench.Line(name, fmt.Sprintf("%.0f/s", o), fmt.Sprintf("%.0f/s", median[i]), o/median[i])
		}
	}
	for _, percent := range []float64{25, 50, 75} {
		rate := o * percent / 100
		a, z := latency(b, ours, body, rate, turn), latency(b, peer, body, rate, turn)
		bench.Line(fmt.Sprintf("webhook/https-p99-at-%.0f%%", percent), a.String(), z.String(), float64(z)/float64(a))
	}
	used := peakMemory(b, m.process.Process.Pid)
	const bound = 64 << 20
	bench.Line("webhook/memory", fmt.Sprintf("%.1fMiB", float64(used)/(1<<20)), "64MiB", bound/float64(used))
}

// connections is how many clients there are, each with a connection of its own.
const connections = 8

// saturate sends as fast as answers come and returns reviews a second.
func saturate(b *testing.B, url string, body []byte, turn time.Duration) float64 {
	b.Helper()
	var count atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for range connections {
		group.Go(func() {
			for c := newClient(); time.Since(start) < turn; count.Add(1) {
				if _, err := review(c, url, body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return float64(count.Load()) / time.Since(start).Seconds()
}

// latency sends at a fixed rate, each client its share at its own times, and
// returns the 99th percentile from when a review was due: a server that falls
// behind cannot hide it by being asked less.
func latency(b *testing.B, url string, body []byte, rate float64, turn time.Duration) time.Duration {
	b.Helper()
	interval := time.Duration(float64(connections) / rate * float64(time.Second))
	results := make([][]time.Duration, connections)
	var group sync.WaitGroup
	start := time.Now()
	for i := range connections {
		group.Go(func() {
			c := newClient()
			tick := time.NewTimer(0)
			for due := start.Add(interval * time.Duration(i) / connections); due.Sub(start) < turn && time.Since(start) < 2*turn; due = due.Add(interval) {
				tick.Reset(time.Until(due))
				<-tick.C
				if _, err := review(c, url, body); err != nil {
					b.Error(err)
					return
				}
				results[i] = append(results[i], time.Since(due))
			}
		})
	}
	group.Wait()
	all := slices.Concat(results...)
	slices.Sort(all)
	return all[len(all)*99/100].Round(10 * time.Microsecond)
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the benchmark's own server, on loopback
	}}
}

func review(c *http.Client, url string, body []byte) ([]byte, error) {
	response, err := c.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"patch":`))) {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return answer, err
}

func reviewOf(b *testing.B, ns string, pod []byte) []byte {
	b.Helper()
	body, err := json.Marshal(admissionreview.AdmissionReview{Request: &admissionreview.AdmissionRequest{
		UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Namespace: ns, Operation: admissionreview.Create,
		Object: runtime.RawExtension{Raw: pod},
	}})
	if err != nil {
		b.Fatal(err)
	}
	body = bytes.Replace(body, []byte("{"), []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",`), 1)
	return body
}

func patched(b *testing.B, pod, answer []byte) []byte {
	b.Helper()
	var r struct {
		Response struct{ Patch string }
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		b.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(r.Response.Patch)
	if err != nil {
		b.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		b.Fatal(err)
	}
	wired, err := patch.Apply(pod)
	if err != nil {
		b.Fatal(err)
	}
	return wired
}

// peakMemory is the most resident memory that a process has had, in bytes.
func peakMemory(b *testing.B, pid int) int64 {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kilobytes); err != nil {
		b.Fatal(err)
	}
	return kilobytes << 10
}

package fluentbit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/testing/chunks"
)

func newRecorded(t *testing.T, r *recordingService, keys map[string]string) *fluentbit.Output {
	t.Helper()
	all := map[string]string{"region": "eu-west-1", "node": "node-a"}
	for key, value := range keys {
		all[key] = value
	}
	c, err := parse(all)
	if err != nil {
		t.Fatal(err)
	}
	return fluentbit.New(c, fluentbit.Settings{
		Service: r, Clock: delivery.Clock{Now: time.Now, Wait: clock.Wait}, Limiter: delivery.NewRateLimiter(), OnError: func(error) {},
	})
}

// With a backlog of chunks for two workers, the end takes as long as the shutdown
// timeout, and not as long as all chunks one after the other.
func TestOutput_Drain_Backlog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recordingService{}
		r.away.Store(true)
		o := newRecorded(t, r, nil)
		queue := make(chan []byte, 100)
		for i := range cap(queue) {
			queue <- lines("feed", time.Now(), fmt.Sprint(i))
		}
		close(queue)
		began := time.Now()
		var workers sync.WaitGroup
		for range 2 {
			workers.Go(func() {
				for chunk := range queue {
					if result := o.Submit(chunk, []byte("t")); result != fluentbit.Retry {
						t.Errorf("result is %v", result)
					}
				}
			})
		}
		time.Sleep(time.Second)
		o.Drain()
		workers.Wait()
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("the workers ended after %s", d)
		}
		o.Close()
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("the output closed after %s", d)
		}
	})
}

// While the service answers, draining delivers what is flushed until then, and the
// counts before anything else.
func TestOutput_Drain_Delivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recordingService{}
		o := newRecorded(t, r, nil)
		if result := o.Submit(lines("feed", time.Now(), `{"level":"ERROR"}`), []byte("t")); result != fluentbit.OK {
			t.Errorf("result is %v", result)
		}
		drained := make(chan struct{})
		go func() {
			o.Drain()
			close(drained)
		}()
		time.Sleep(time.Second)
		if got := r.count("metrics/"); got != 1 {
			t.Errorf("%d documents were delivered a second after SIGTERM", got)
		}
		if result := o.Submit(lines("feed", time.Now(), "late"), []byte("t")); result != fluentbit.OK {
			t.Errorf("the result of a late chunk is %v", result)
		}
		<-drained
		if result := o.Submit(lines("feed", time.Now(), "too late"), []byte("t")); result != fluentbit.Retry {
			t.Errorf("the result after the end is %v", result)
		}
		o.Close()
	})
}

func TestOutput_Ready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recordingService{}
		o := newRecorded(t, r, map[string]string{"metric_namespace": "none"})
		defer o.Close()
		flush := func(age time.Duration) { o.Submit(lines("feed", time.Now().Add(-age), "x"), []byte("t")) }
		ready := func(when string, want string) {
			t.Helper()
			if err := o.Ready(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, readiness is %v, want %q", when, err, want)
			}
		}
		ready("at the start", "")
		flush(0)
		ready("after a delivery", "")
		r.away.Store(true)
		flush(0)
		ready("after a short outage", "")
		for range 31 {
			flush(0) // each takes the flush timeout
		}
		ready("after a long outage", "no request to CloudWatch Logs has succeeded for 5m")
		r.away.Store(false)
		flush(0)
		ready("after the outage", "")
		flush(time.Hour)
		ready("while reading is behind", "lines are read 1h0m0s after they were written")
		flush(0)
		ready("after reading has caught up", "")
		flush(time.Hour)
		time.Sleep(2 * time.Minute)
		ready("after old lines of a quiet pod", "")
	})
}

func (r *recordingService) count(stream string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if strings.HasPrefix(e, stream) {
			n++
		}
	}
	return n
}

// Lines of a pod that nobody has decided about go to a group of their own, until
// the agent describes the pod.
func TestOutput_Flush_UndecidedPods(t *testing.T) {
	dir := t.TempDir()
	describe := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "pods"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pods", "nova_feed-0.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := &groupService{}
		c, err := parse(map[string]string{"region": "eu-west-1", "pod_files": dir, "metric_namespace": "none"})
		if err != nil {
			t.Fatal(err)
		}
		o := fluentbit.New(c, fluentbit.Settings{Service: r, Clock: delivery.Clock{Now: time.Now, Wait: clock.Wait}, Limiter: delivery.NewRateLimiter(), OnError: func(err error) { t.Error(err) }})
		defer o.Close()
		flush := func() string {
			o.Flush(chunks.V1(chunks.EventTime(time.Now()), chunks.Map{{"log", "x"}}), "kube.state.pods.containers.feed-0_nova_app-0b.log")
			return r.last
		}
		describe(`{"namespace":"nova","name":"feed-0","undecided":true}`)
		if got := flush(); got != "/nova/undecided/nova" || metricSum(o, "novawire_logs_delivered_total", `class="undecided"`) != 1 {
			t.Errorf("an undecided pod's line went to %s", got)
		}
		describe(`{"namespace":"nova","name":"feed-0","service":"news","services":{"app":"own-name"}}`)
		time.Sleep(11 * time.Second)
		if got := flush(); got != "/nova/nova/own-name" {
			t.Errorf("a described pod's line went to %s", got)
		}
		describe(`broken`)
		time.Sleep(time.Hour)
		if got := flush(); got != "/nova/nova/own-name" {
			t.Errorf("after the description has gone, the line went to %s", got)
		}
	})
}

// groupService remembers the group of the last request.
type groupService struct{ last string }

func (g *groupService) Put(_ context.Context, group, _ string, _ [][]byte) (delivery.Rejected, error) {
	g.last = group
	return delivery.Rejected{}, nil
}
func (*groupService) CreateGroup(context.Context, string) error { return errors.New("not used") }
func (*groupService) CreateStream(context.Context, string, string) error {
	return errors.New("not used")
}

func (*groupService) SetRetention(context.Context, string, int) error { return errors.New("not used") }

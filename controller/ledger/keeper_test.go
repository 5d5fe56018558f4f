package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// bench has replicas of the manager that share an API server, without a watch and a clock.
type bench struct {
	*testing.T
	server client.WithWatch
	now    time.Time
	// fail answers in place of the API server; nil: it does not.
	fail func(name string, write bool) error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, now: time.Unix(1_800_000_000, 0)}
	failing := func(o client.Object, write bool) error {
		if b.fail == nil {
			return nil
		}
		return b.fail(o.GetName(), write)
	}
	b.server = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := failing(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key.Name}}, false); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if err := failing(o, true); err != nil {
				return err
			}
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if err := failing(o, true); err != nil {
				return err
			}
			return c.Update(ctx, o, opts...)
		},
	}).Build()
	return b
}

func (b *bench) observer() *Observer {
	o := NewObserver(nil, NewMetrics(prometheus.NewRegistry()))
	o.now = func() time.Time { return b.now }
	o.synced = func() bool { return true }
	o.life = b.Context()
	return o
}

// leader makes an observer that of the leader.
func (b *bench) leader(o *Observer) *keeper {
	o.leads.Store(true)
	return &keeper{
		Options: Options{Namespace: system, Observer: o, Metrics: o.metrics, StoreInterval: time.Minute},
		reader:  b.server, writer: b.server,
	}
}

// stored returns what the ConfigMaps have, by service.
func (b *bench) stored() map[string]ledgerapi.Service {
	b.Helper()
	var accounts []*ledgerapi.Account
	for i := range ledgerapi.Shards {
		var c corev1.ConfigMap
		if err := b.server.Get(b.Context(), client.ObjectKey{Namespace: system, Name: ledgerapi.ShardName(i)}, &c); err != nil {
			continue
		}
		a, err := ledgerapi.Decode(c.BinaryData[ledgerapi.Key])
		if err != nil {
			b.Fatal(err)
		}
		accounts = append(accounts, a)
	}
	services := map[string]ledgerapi.Service{}
	for _, s := range ledgerapi.Report(accounts...) {
		services[s.Name] = s
	}
	return services
}

func ledgerOf(accepted int64) ledgerapi.Message {
	return ledgerapi.Message{Ledger: map[string]ledgerapi.Entry{ledgerapi.Traces: {Accepted: accepted, Exported: accepted}}}
}

func podOf(uid string, restarts int32, state, last corev1.ContainerState) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "nova", Name: uid, UID: types.UID(uid)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: sidecarapi.ContainerName, Env: []corev1.EnvVar{
			{Name: sidecarapi.EnvResourceAttributes, Value: "service.name=feed"},
		}}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: sidecarapi.ContainerName, ContainerID: fmt.Sprint("run-", restarts), RestartCount: restarts, State: state, LastTerminationState: last,
		}}},
	}
}

var running = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}

func ended(restarts int32, accepted int64) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ContainerID: fmt.Sprint("run-", restarts),
		Message:     fmt.Sprintf(`{"ledger":{"traces":{"accepted":%d,"exported":%d}}}`, accepted, accepted),
	}}
}

// However often a sidecar restarts, and whichever replica leads, each run is counted once:
// the account is that of a model. What is kept of a pod stays bounded.
func TestKeeper_Restarts(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := newBench(t)
		observers := []*Observer{b.observer(), b.observer()}
		k := b.leader(observers[0])
		var all, now int64
		last := corev1.ContainerState{}
		restarts := int32(0)
		show := func(state corev1.ContainerState) {
			for _, o := range observers {
				for range 1 + r.IntN(2) {
					o.see(podOf("u1", restarts, state, last))
				}
			}
		}
		show(running)
		for step := range 80 {
			b.now = b.now.Add(time.Duration(r.IntN(90)) * time.Second)
			switch r.IntN(6) {
			case 0: // it ends, which a status shows in between or not
				if r.IntN(2) == 0 {
					show(ended(restarts, now))
				}
				last = ended(restarts, now)
				restarts, all, now = restarts+1, all+now, 0
				show(running)
			case 1: // another leader
				i := r.IntN(2)
				observers[1-i].leads.Store(false)
				k = b.leader(observers[i])
			default:
				now += r.Int64N(10)
				k.Observer.heard("u1", int(restarts)+1, ledgerOf(now))
			}
			b.now = b.now.Add(2 * time.Minute)
			k.keep(t.Context(), false)
			got := b.stored()["feed"]
			e := got.Signals[ledgerapi.Traces]
			if e.Accepted > all+now || e.Accepted < all || e.Balance() != 0 || got.UnknownRuns != 0 {
				t.Fatalf("seed %d, step %d, %d restarts: accepted %d and %d of the run under way; the account has %+v", seed, step, restarts, all, now, got)
			}
		}
		for _, o := range observers {
			if n := len(o.pods["u1"].runs); n > maxRuns {
				t.Errorf("%d runs are kept of %d", n, restarts+1)
			}
		}
	}
}

// The kubelet can lose a container: its end has no id, and is one unknown run.
func TestKeeper_LostContainer(t *testing.T) {
	b := newBench(t)
	o := b.observer()
	k := b.leader(o)
	o.see(podOf("u1", 0, running, corev1.ContainerState{}))
	o.heard("u1", 1, ledgerOf(5))
	k.keep(t.Context(), true)
	lost := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "ContainerStatusUnknown"}}
	o.see(podOf("u1", 1, corev1.ContainerState{}, lost))
	k.keep(t.Context(), true)
	o.see(podOf("u1", 1, running, lost))
	o.heard("u1", 2, ledgerOf(7))
	k.keep(t.Context(), true)
	if s := b.stored()["feed"]; s.UnknownRuns != 1 || s.Signals[ledgerapi.Traces].Accepted != 12 {
		t.Errorf("the account has %+v", s)
	}
}

// A ConfigMap that nobody can read does not keep the others from being stored, and after an
// error the last chance is taken.
func TestKeeper_Errors(t *testing.T) {
	b := newBench(t)
	o := b.observer()
	k := b.leader(o)
	for i := range 20 {
		o.see(podOf(fmt.Sprint("u", i), 0, ended(0, 1), corev1.ContainerState{}))
	}
	broken := ledgerapi.ShardName(0)
	b.fail = func(name string, _ bool) error {
		if name == broken {
			return errors.New("broken")
		}
		return nil
	}
	k.keep(t.Context(), false)
	b.fail = nil
	some := b.stored()["feed"].Pods
	if some == 0 || some == 20 {
		t.Errorf("%d pods of 20 are stored while one ConfigMap cannot be read", some)
	}
	k.keep(t.Context(), false)
	if n := b.stored()["feed"].Pods; n != some {
		t.Errorf("%d pods: it did not wait after an error", n)
	}
	k.keep(t.Context(), true)
	if n := b.stored()["feed"].Pods; n != 20 {
		t.Errorf("%d pods of 20 are stored at the end", n)
	}
}

// While nothing can be stored, pods come and go: what is kept of them is bounded, and told.
func TestObserver_Bound(t *testing.T) {
	b := newBench(t)
	o := b.observer()
	k := b.leader(o)
	b.fail = func(_ string, write bool) error {
		if write {
			return errors.New("forbidden")
		}
		return nil
	}
	for i := range maxGone + 100 {
		b.now = b.now.Add(time.Millisecond)
		o.lose(podOf(fmt.Sprint("u", i), 0, ended(0, 1), corev1.ContainerState{}))
	}
	k.keep(t.Context(), false)
	if n := len(o.pods); n != maxGone || o.gone != n || o.pods["u0"] != nil {
		t.Errorf("%d pods are kept, of which %d are gone", n, o.gone)
	}
	if n := testutil.ToFloat64(o.metrics.uncounted); n != 100 {
		t.Errorf("%v pods are uncounted, want 100", n)
	}
	b.fail = nil
	k.keep(t.Context(), true)
	if s := b.stored()["feed"]; s.GonePods != maxGone || len(o.pods) != 0 || o.gone != 0 {
		t.Errorf("%d pods are counted, %d kept, %d gone", s.GonePods, len(o.pods), o.gone)
	}
}

// The address is that of the newest sandbox.
func TestObserver_Address(t *testing.T) {
	o := newBench(t).observer()
	pod := podOf("u1", 0, running, corev1.ContainerState{})
	for _, ip := range []string{"10.0.0.1", "10.0.0.2", ""} {
		pod.Status.PodIP = ip
		o.see(pod)
	}
	if got := o.pods["u1"].address; got != "10.0.0.2:18888" {
		t.Errorf("the address is %q", got)
	}
}

// A pod that was counted before its end, because the account was full, stays counted while it
// exists, and is forgotten when it is gone.
func TestKeeper_CountedEarly(t *testing.T) {
	b := newBench(t)
	o := b.observer()
	k := b.leader(o)
	pod := podOf("u1", 0, running, corev1.ContainerState{})
	o.see(pod)
	o.heard("u1", 1, ledgerOf(5))
	k.keep(t.Context(), true)
	k.shards[ledgerapi.ShardOf("u1")].close("u1", b.now)
	for minute := range 90 {
		b.now = b.now.Add(time.Minute)
		if minute%45 == 0 { // seldom: as if nobody could read its ledger
			o.heard("u1", 1, ledgerOf(int64(10+minute)))
		}
		k.keep(t.Context(), false)
	}
	o.lose(pod)
	k.keep(t.Context(), true)
	s := b.stored()["feed"]
	if s.Signals[ledgerapi.Traces].Accepted != 5 || s.GonePods != 1 || s.Pods != 0 || s.UnknownRuns != 1 {
		t.Errorf("the account has %+v", s)
	}
}

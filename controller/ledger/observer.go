package ledger

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	ledgerapi "github.com/nova/novawire/api/ledger"
)

// Observer sees the pods of the cluster with a sidecar. Every replica runs one: what a pod
// said at its end, while the leader was replaced, is known to the next one.
type Observer struct {
	cache cache.Cache
	asker asker
	now   func() time.Time
	leads atomic.Bool // this replica counts

	mu     sync.Mutex
	synced func() bool
	pods   map[types.UID]*observed
	// asking are requests for the last ledger of pods whose objects are gone.
	asking sync.WaitGroup
	life   context.Context //nolint:containedctx // of Start, for the handlers that client-go calls
}

// observed is a pod as it was seen.
type observed struct {
	namespace, service, address string

	runs  []run
	ended int       // how many runs have ended
	gone  time.Time // zero: the object exists
	// asked reports that the pod was asked for its last ledger, or need not be.
	asked bool
	heard map[string]ledgerapi.Message // by run, of one that runs
	// changed reports that the leader has not looked at it since.
	changed bool
}

// lastWord is how long a pod may take to end after its object is gone: a grace period.
const lastWord = 2 * time.Minute

// NewObserver creates an observer of a cache of pods, which it starts.
func NewObserver(pods cache.Cache) *Observer {
	return &Observer{cache: pods, asker: newAsker(), now: time.Now, pods: map[types.UID]*observed{}}
}

// NeedLeaderElection returns false: every replica observes.
func (o *Observer) NeedLeaderElection() bool { return false }

// Start observes until the context ends.
func (o *Observer) Start(ctx context.Context) error {
	o.life = ctx
	defer o.asking.Wait()
	informer, err := o.cache.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(pod any) { o.see(pod) },
		UpdateFunc: func(_, pod any) { o.see(pod) },
		DeleteFunc: o.lose,
	})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	o.mu.Lock()
	o.synced = registration.HasSynced
	o.mu.Unlock()
	go wait.UntilWithContext(ctx, o.forgetOld, time.Minute)
	return o.cache.Start(ctx)
}

// complete reports whether every pod that exists was seen.
func (o *Observer) complete() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.synced != nil && o.synced()
}

// see takes the state of a pod.
func (o *Observer) see(object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	if sidecar := findSidecar(pod); sidecar != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.take(pod, sidecar)
	}
}

func (o *Observer) take(pod *corev1.Pod, sidecar *corev1.Container) *observed {
	p := o.pods[pod.UID]
	if p == nil {
		p = &observed{namespace: pod.Namespace, service: serviceOf(sidecar)}
		o.pods[pod.UID] = p
	}
	if pod.Status.PodIP != "" && p.address == "" {
		p.address = net.JoinHostPort(pod.Status.PodIP, portOf(sidecar))
	}
	shown, ended := runs(pod)
	for _, r := range shown {
		p.show(r)
	}
	p.ended = max(p.ended, ended)
	p.changed = true
	return p
}

// show adds a run, or the end of one. What is known already stays: a status can be shown
// without the message that an earlier one had.
func (p *observed) show(r run) {
	i := slices.IndexFunc(p.runs, func(known run) bool { return known.id == r.id })
	if i < 0 {
		p.runs = append(p.runs, r)
		return
	}
	if known := &p.runs[i]; !known.ended || known.message == nil && r.message != nil {
		known.ended, known.message = r.ended, r.message
	}
}

// running returns the id of the run that has not ended; "" if there is none.
func (p *observed) running() string {
	if n := len(p.runs); n > 0 && !p.runs[n-1].ended {
		return p.runs[n-1].id
	}
	return ""
}

// lose takes the end of a pod's object. If its sidecar has not ended, it is asked for its
// last ledger.
func (o *Observer) lose(object any) {
	if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	sidecar := findSidecar(pod)
	if sidecar == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.take(pod, sidecar)
	p.gone = o.now()
	run := p.running()
	if run == "" || p.address == "" {
		p.asked = true
		return
	}
	uid, address := pod.UID, p.address
	o.asking.Go(func() { o.askLast(uid, run, address) })
}

// askLast waits for the end of a sidecar.
func (o *Observer) askLast(uid types.UID, id, address string) {
	ctx, cancel := context.WithTimeout(o.life, lastWord)
	defer cancel()
	m, err := o.asker.final(ctx, string(uid), address)
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pods[uid]
	if p == nil {
		return
	}
	p.asked, p.changed = true, true
	if err == nil {
		p.show(run{id: id, ended: true, message: &m})
	}
}

// heard takes the ledger of a running sidecar.
func (o *Observer) heard(uid types.UID, id string, m ledgerapi.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pods[uid]
	if p == nil || p.running() != id { // it has ended since
		return
	}
	if before, ok := p.heard[id]; ok && before.Started != m.Started {
		return // of a run that the status does not show yet
	}
	p.heard, p.changed = map[string]ledgerapi.Message{id: m}, true
}

// each calls visit for every pod, under the observer's lock.
func (o *Observer) each(visit func(uid types.UID, p *observed)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for uid, p := range o.pods {
		visit(uid, p)
	}
}

// forget removes pods that are gone and counted.
func (o *Observer) forget(counted []types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, uid := range counted {
		delete(o.pods, uid)
	}
}

// forgetOld removes pods that another replica, which leads, has counted by now.
func (o *Observer) forgetOld(context.Context) {
	if o.leads.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.pods, func(_ types.UID, p *observed) bool {
		return !p.gone.IsZero() && o.now().Sub(p.gone) > ledgerapi.Forget
	})
}

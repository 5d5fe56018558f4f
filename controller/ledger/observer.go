package ledger

import (
	"context"
	"fmt"
	"log/slog"
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
	cache   cache.Cache
	metrics *Metrics
	asker   asker
	now     func() time.Time
	leads   atomic.Bool // this replica counts

	mu     sync.Mutex
	synced func() bool
	pods   map[types.UID]*observed
	gone   int  // how many of them are gone
	told   bool // that pods are forgotten
	// asking are requests for the last ledger of pods whose objects are gone.
	asking sync.WaitGroup
	life   context.Context //nolint:containedctx // of Start, for the handlers that client-go calls
}

// observed is a pod as it was seen.
type observed struct {
	namespace, service, address string

	runs  []run     // in their order; those that are counted are removed
	ended int       // how many runs have ended
	gone  time.Time // zero: the object exists
	// asked reports that the pod was asked for its last ledger, or need not be.
	asked bool
	// changed reports that the leader has not looked at it since.
	changed bool
}

// lastWord is how long a pod may take to end after its object is gone: a grace period.
const lastWord = 2 * time.Minute

// NewObserver creates an observer of a cache of pods, which it starts.
func NewObserver(pods cache.Cache, metrics *Metrics) *Observer {
	return &Observer{cache: pods, metrics: metrics, asker: newAsker(), now: time.Now, pods: map[types.UID]*observed{}}
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
	if pod.Status.PodIP != "" { // another one after a new sandbox; none at the end
		p.address = addressOf(pod, sidecar)
	}
	shown, ended := runs(pod)
	for _, r := range shown {
		p.show(r)
	}
	p.ended = max(p.ended, ended)
	p.changed = true
	return p
}

// maxRuns bounds what is kept of a pod whose sidecar ends again and again. A run that is
// dropped before it is counted is unknown.
const maxRuns = 16

// show adds a run, or the end of one. What is known already stays: a status can be shown
// without the message that an earlier one had.
func (p *observed) show(r run) {
	i := slices.IndexFunc(p.runs, func(known run) bool { return known.number == r.number || known.id == r.id && r.id != "" })
	if i < 0 {
		p.runs = append(p.runs, r)
		for i = len(p.runs) - 1; i > 0 && p.runs[i].number < p.runs[i-1].number; i-- {
			p.runs[i], p.runs[i-1] = p.runs[i-1], p.runs[i]
		}
		p.runs = p.runs[max(0, len(p.runs)-maxRuns):]
		return
	}
	if known := &p.runs[i]; r.ended && (!known.ended || known.message == nil) {
		known.ended, known.message = true, r.message
	}
}

// running returns the number of the run that has not ended; 0 if there is none.
func (p *observed) running() int {
	if n := len(p.runs); n > 0 && !p.runs[n-1].ended {
		return p.runs[n-1].number
	}
	return 0
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
	if p.gone.IsZero() {
		o.gone++
	}
	p.gone = o.now()
	o.bound()
	run := p.running()
	if run == 0 || p.address == "" {
		p.asked = true
		return
	}
	uid, address := pod.UID, p.address
	o.asking.Go(func() { o.askLast(uid, run, address) })
}

// maxGone bounds the pods that are gone and not counted, as while the API server refuses the
// ConfigMaps.
const maxGone = 5000

// bound removes the pod that is gone for the longest time if there are too many.
func (o *Observer) bound() {
	if o.gone <= maxGone {
		return
	}
	var oldest types.UID
	for uid, p := range o.pods {
		if !p.gone.IsZero() && (oldest == "" || p.gone.Before(o.pods[oldest].gone)) {
			oldest = uid
		}
	}
	o.remove(oldest)
	if !o.leads.Load() {
		return // the leader has counted it
	}
	if o.metrics.uncounted.Inc(); !o.told {
		o.told = true
		slog.Error("the account of telemetry cannot be kept; pods that are gone are forgotten without being counted", "kept", maxGone)
	}
}

// remove removes a pod that is gone.
func (o *Observer) remove(uid types.UID) {
	if _, ok := o.pods[uid]; ok {
		delete(o.pods, uid)
		o.gone--
	}
}

// askLast waits for the end of a sidecar.
func (o *Observer) askLast(uid types.UID, number int, address string) {
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
		p.show(run{number: number, ended: true, message: &m})
	}
}

// heard takes the ledger of a running sidecar.
func (o *Observer) heard(uid types.UID, number int, m ledgerapi.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pods[uid]
	if p == nil || p.running() != number { // it has ended since
		return
	}
	r := &p.runs[len(p.runs)-1]
	if r.heard != nil && r.heard.Started != m.Started {
		return // of a run that the status does not show yet
	}
	r.heard, p.changed = &m, true
}

// each calls visit for every pod, under the observer's lock.
func (o *Observer) each(visit func(uid types.UID, p *observed)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for uid, p := range o.pods {
		visit(uid, p)
	}
}

// forget removes pods that are gone and counted, and runs of others that are in their account.
func (o *Observer) forget(counted []types.UID, account *ledgerapi.Account) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, uid := range counted {
		o.remove(uid)
	}
	for uid, a := range account.Pods {
		if p := o.pods[types.UID(uid)]; p != nil {
			p.runs = slices.DeleteFunc(p.runs, func(r run) bool { return r.ended && r.number <= a.Ended })
		}
	}
}

// forgetOld removes pods that another replica, which leads, has counted by now.
func (o *Observer) forgetOld(context.Context) {
	if o.leads.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for uid, p := range o.pods {
		if !p.gone.IsZero() && o.now().Sub(p.gone) > ledgerapi.Forget {
			o.remove(uid)
		}
	}
}

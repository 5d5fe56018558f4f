package repair

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/internal/validate"
)

// Times until a workload is looked at again.
const (
	often  = 2 * time.Second
	soon   = 10 * time.Second
	later  = 30 * time.Second
	seldom = time.Minute
)

// maxFailures is how many workloads may be put back with one configuration. After that nothing
// is repaired until the configuration changes or somebody removes the marks: the fault is not
// one workload's.
const maxFailures = 3

// maxUnhelpful is how many replacements of a workload may come back unwired: replicas of the
// webhook read a changed configuration at different times.
const maxUnhelpful = 3

// progress is what a repair that is not finished remembers. What has to survive a restart of
// the manager is in the workload's annotation.
type progress struct {
	mode      repairapi.Mode
	ready     int                     // pods that are ready since the last replacement
	at        time.Time               // of the last progress, or of the first look at which not all was well any more
	ending    time.Time               // when a pod was last seen in its grace period
	last      time.Time               // of the last replacement, by the API server's clock
	judged    bool                    // all was well after it: what is not ready later is not its work
	unhelpful int                     // replacements that were not wired
	unready   map[types.UID]time.Time // new pods, since they were first seen unready
}

// look is one look at a workload.
type look struct {
	key
	*target
	annotations map[string]string // of the Namespace
	config      repairapi.Config
	mode        repairapi.Mode
	hash        string // of the configuration of injection
	status      repairapi.Status
	pods        []podOf
	ending      []*corev1.Pod // pods that are terminating
}

// Reconcile decides what to do next about a workload. It does one step and comes back.
func (r *Repairer) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	result, err := r.step(ctx, keyOf(request))
	if apierrors.IsConflict(err) { // somebody else wrote the workload since it was read
		return reconcile.Result{RequeueAfter: often}, nil
	}
	return result, err
}

func (r *Repairer) step(ctx context.Context, k key) (reconcile.Result, error) {
	l := &look{key: k, config: r.Config()}
	found, err := r.cached(ctx, l)
	if err != nil {
		return reconcile.Result{}, err
	}
	undone := l.isUndoneSet() // an eviction may have been refused, to this manager or to one before
	isRunning := r.running[k] != nil || undone || l.status.Phase == repairapi.Running
	if !found || l.status.Failed() && !undone || !isRunning && (!r.hasDrifted(k) || l.mode == repairapi.None) {
		r.forget(k)
		return reconcile.Result{}, nil
	}
	if !isRunning {
		if reason, after := r.blocked(ctx, l); reason != "" {
			return r.wait(l, reason, "", after)
		}
	}
	l.target, err = r.read(ctx, k)
	if apierrors.IsNotFound(err) || err == nil && l.object.GetDeletionTimestamp() != nil {
		r.forget(k)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read %s: %w", k, err)
	}
	l.status = repairapi.ReadStatus(l.object.GetAnnotations())
	l.hash = r.Engine().Hash(k.namespace)
	if err = r.pods(ctx, l); err != nil {
		return reconcile.Result{}, fmt.Errorf("compare the pods of %s: %w", k, err)
	}
	if l.status.Phase == repairapi.Running {
		return r.follow(ctx, l)
	}
	if l.status.Failed() { // the cache did not know it yet, or its pods are to be evicted
		if l.isUndoneSet() && l.unable == "" && l.template.Labels[injection.LabelWiring] == injection.WiringDisabled && r.evictUnready(ctx, l) != "" {
			return reconcile.Result{RequeueAfter: later}, nil
		}
		r.forget(k)
		return reconcile.Result{}, nil
	}
	if isRunning { // whether a new repair may begin has not been asked yet
		if p := r.running[k]; p != nil {
			r.ended(ctx, l, p.mode, resultAbandoned, "somebody removed the annotation "+injection.AnnotationRepairStatus)
		}
		r.forget(k)
		return reconcile.Result{RequeueAfter: often}, nil
	}
	return r.begin(ctx, l)
}

// isUndoneSet reports whether it is a StatefulSet whose repair was undone: its controller waits
// for pods that are not ready, which are evicted.
func (l *look) isUndoneSet() bool {
	return l.kind == "StatefulSet" && l.status.Phase == repairapi.Undone
}

// cached reads what the cache has of the workload and its Namespace, and reports whether both
// exist. It sets mode and status.
func (r *Repairer) cached(ctx context.Context, l *look) (bool, error) {
	m, ns := metadata("apps/v1", l.kind), metadata("v1", "Namespace")
	if !slices.Contains(kinds, l.kind) {
		return false, nil
	}
	for _, read := range []struct {
		key  client.ObjectKey
		into *metav1.PartialObjectMetadata
	}{{l.objectKey(), m}, {client.ObjectKey{Name: l.namespace}, ns}} {
		err := r.cache.Get(ctx, read.key, read.into)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", l.key, err)
		}
	}
	l.annotations, l.status = ns.Annotations, repairapi.ReadStatus(m.Annotations)
	var err error
	if l.mode, err = modeOf(l.config, ns, m); err != nil && r.hasDrifted(l.key) {
		r.tell(l, m, waitAnnotation, err.Error())
	}
	return ns.DeletionTimestamp == nil, nil
}

// modeOf returns how the pods of a workload are replaced. Where nothing is wired, they are not.
func modeOf(c repairapi.Config, ns, m *metav1.PartialObjectMetadata) (repairapi.Mode, error) {
	mode, err := c.ModeOf(ns.Name, ns.Annotations, m.Annotations)
	if !injection.OptedIn(ns.Name, ns.Labels) {
		mode = repairapi.None
	}
	return mode, err
}

// blocked returns why nothing may be replaced now, in the whole cluster, and when to ask again.
// It asks the API server nothing.
func (r *Repairer) blocked(ctx context.Context, l *look) (reason string, after time.Duration) {
	now := r.now()
	switch {
	case !l.config.Open(now):
		return waitWindow, later
	case !r.AdmissionWorks():
		return waitProbe, often
	case now.Before(r.next):
		return waitRate, r.next.Sub(now) + time.Second/10
	case r.running[l.key] == nil && !r.proven[r.Engine().Hash(l.namespace)] && r.othersRun(ctx, l.key):
		return waitFirst, often
	}
	return "", 0
}

// othersRun reports whether a repair of another workload is not finished.
func (r *Repairer) othersRun(ctx context.Context, k key) bool {
	for other := range r.running {
		if other != k {
			return true
		}
	}
	running := func(other key, s repairapi.Status) bool { return other != k && s.Phase == repairapi.Running }
	return r.count(ctx, "", running) > 0
}

// count returns how many workloads have a status that is wanted: all of one namespace, and one
// of each other, so that whoever may write to one namespace does not stop the repair of all.
// Where nobody asks for repair, a status is not the manager's and does not count.
func (r *Repairer) count(ctx context.Context, own string, wanted func(key, repairapi.Status) bool) (n int) {
	counted, config := map[string]bool{}, r.Config()
	for _, kind := range kinds {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(metadata("apps/v1", kind+"List").GroupVersionKind())
		if err := r.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			return maxFailures // the cache is stopped: nothing begins any more
		}
		for i := range list.Items {
			m := &list.Items[i]
			if m.Annotations[injection.AnnotationRepairStatus] == "" || counted[m.Namespace] || !wanted(key{kind, m.Namespace, m.Name}, repairapi.ReadStatus(m.Annotations)) {
				continue
			}
			ns := metadata("v1", "Namespace")
			if err := r.cache.Get(ctx, client.ObjectKey{Name: m.Namespace}, ns); err != nil {
				continue // it was deleted
			}
			if mode, _ := modeOf(config, ns, m); mode != repairapi.None {
				counted[m.Namespace] = m.Namespace != own
				n++
			}
		}
	}
	return n
}

// begin starts the repair of a workload whose pods are all well.
func (r *Repairer) begin(ctx context.Context, l *look) (reconcile.Result, error) {
	pod, ok := toReplace(l.pods, l.config.States)
	switch {
	case !ok:
		r.forget(l.key)
		return reconcile.Result{}, nil
	case l.unable != "":
		return r.wait(l, waitUnable, l.unable, seldom)
	case !l.well():
		return r.wait(l, waitUnsettled, "", soon)
	}
	failed := r.count(ctx, l.namespace, func(_ key, s repairapi.Status) bool { return s.Failed() && s.Config == l.hash })
	if failed >= maxFailures {
		return r.wait(l, waitFailures, fmt.Sprintf("%d or more workloads were not ready with configuration %s: nothing is repaired with it any more; "+
			"change the configuration, or remove the annotation %s from them", maxFailures, l.hash, injection.AnnotationRepairStatus), seldom)
	}
	return r.replace(ctx, l, pod)
}

// follow looks at what became of the last replacement of a workload, and continues.
func (r *Repairer) follow(ctx context.Context, l *look) (reconcile.Result, error) {
	p := r.running[l.key]
	if p == nil { // the manager that began was another one
		p = &progress{mode: l.status.Mode, at: r.now(), last: l.status.Since}
		r.running[l.key] = p
	}
	changed, err := l.changed()
	if err != nil {
		return reconcile.Result{}, err
	}
	if changed != "" {
		return reconcile.Result{}, r.finish(ctx, l, resultAbandoned, changed)
	}
	for _, pod := range since(l.pods, l.status.Since) {
		if pod.ready && pod.state.PodState == injection.PodWired {
			r.proven[l.hash] = true
		}
	}
	if l.well() {
		p.at = time.Time{}
		return r.proceed(ctx, l, p)
	}
	if p.at.IsZero() {
		p.at = r.now()
	}
	if !p.judged {
		if reason, unwired := r.notBetter(l, p, since(l.pods, p.last)); reason != "" {
			return reconcile.Result{}, r.giveUp(ctx, l, reason, unwired)
		}
	}
	if within := time.Duration(l.config.ReadyWithin) + l.minReady; p.idle(r.now()) >= within {
		return reconcile.Result{}, r.finish(ctx, l, resultAbandoned, l.unwell()+", and none that the repair replaced is the cause,")
	}
	return reconcile.Result{RequeueAfter: often}, nil
}

// proceed replaces the next pod of a workload that is well, or ends its repair.
func (r *Repairer) proceed(ctx context.Context, l *look, p *progress) (reconcile.Result, error) {
	pod, more := toReplace(l.pods, l.config.States)
	if !more {
		return reconcile.Result{}, r.finish(ctx, l, resultRepaired, "")
	}
	switch {
	case l.mode == repairapi.None:
		return reconcile.Result{}, r.finish(ctx, l, resultAbandoned, "the repair was switched off")
	case l.unable != "":
		return reconcile.Result{}, r.finish(ctx, l, resultAbandoned, "somebody made it one that is not repaired ("+l.unable+")")
	}
	if again, bad := toReplace(since(l.pods, p.last), l.config.States); bad && !p.judged {
		if p.unhelpful++; p.unhelpful >= maxUnhelpful {
			return reconcile.Result{}, r.giveUp(ctx, l, fmt.Sprintf("the new pod %s is %s, although the dry run was wired", again.Name, again.state.Message), true)
		}
	}
	p.judged = true
	if reason, after := r.blocked(ctx, l); reason != "" {
		return r.wait(l, reason, "", after)
	}
	return r.replace(ctx, l, pod)
}

// wait records why a workload waits. A text is told as an Event, once.
func (r *Repairer) wait(l *look, reason, text string, after time.Duration) (reconcile.Result, error) {
	if r.waiting[l.key] != reason {
		r.waiting[l.key] = reason
		r.Metrics.show(r.waiting)
	}
	if text != "" {
		r.tell(l, l.object, reason, text)
	}
	return reconcile.Result{RequeueAfter: after}, nil
}

// tell records an Event about what keeps a workload from being repaired, unless it was the last.
func (r *Repairer) tell(l *look, regarding client.Object, reason, text string) {
	if r.told[l.key] == reason+text {
		return
	}
	r.told[l.key] = reason + text
	r.events.Eventf(reference(l.key, regarding), nil, corev1.EventTypeWarning, "RepairWaits", reason, "%s", validate.EventNote("not repaired: "+text))
}

// works ends the waiting of a workload.
func (r *Repairer) works(k key) {
	if _, waited := r.waiting[k]; waited {
		delete(r.waiting, k)
		r.Metrics.show(r.waiting)
	}
}

func (r *Repairer) forget(k key) {
	r.works(k)
	delete(r.running, k)
	if !r.hasDrifted(k) {
		delete(r.told, k)
	}
}

func reference(k key, o client.Object) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "apps/v1", Kind: k.kind, Namespace: k.namespace, Name: k.name, UID: o.GetUID()}
}

func (r *Repairer) log(ctx context.Context, l *look, text string, more ...any) {
	log.FromContext(ctx).WithName("repair").Info(text, append([]any{"workload", l.key.String(), "namespace", l.namespace, "mode", l.mode}, more...)...)
}

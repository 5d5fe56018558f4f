package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nova/novawire"
)

type reconciler struct {
	client  client.Client
	live    client.Reader
	events  events.EventRecorder
	config  func() Config
	metrics *Metrics
	gone    *gone
	apply   applier
}

// Why the CronJobs of a StatefulSet start nothing, as users read it.
const (
	deleted  = "the StatefulSet was deleted; its backups are kept"
	disabled = novawire.AnnotationBackupEnabled + " is not true on the StatefulSet"
	optedOut = "the namespace is not labelled " + novawire.LabelWiring + ": " + novawire.WiringEnabled
)

// round is one look at one StatefulSet: what is there, and what is known.
type round struct {
	name     types.NamespacedName
	set      *appsv1.StatefulSet // nil: there is none
	backup   *batchv1.CronJob    // nil: there is none
	drill    *batchv1.CronJob
	optedIn  bool
	request  novawire.BackupRequest
	refusals []novawire.Refusal
	before   novawire.BackupStatus // as annotated
	status   novawire.BackupStatus // as it is now
}

// Reconcile makes the CronJobs of a StatefulSet what it asks for, and tells what
// their pods did.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	it := &round{name: req.NamespacedName}
	for _, step := range []func(context.Context, *round) error{r.read, r.count, r.converge, r.runNow, r.annotate} {
		if err := step(ctx, it); errors.Is(err, errNothing) {
			r.metrics.forget(it.name)
			r.gone.forget(it.name)
			return reconcile.Result{}, nil
		} else if err != nil {
			return reconcile.Result{}, fmt.Errorf("back up %s: %w", it.name, err)
		}
	}
	return reconcile.Result{}, nil
}

// errNothing ends a round: nothing was asked for, and nothing is there.
var errNothing = errors.New("nothing to do")

func (r *reconciler) read(ctx context.Context, it *round) error {
	var err error
	if it.set, err = get(ctx, r.client, it.name, &appsv1.StatefulSet{}); err != nil {
		return err
	}
	if it.set != nil && it.set.DeletionTimestamp != nil {
		it.set = nil
	}
	if it.backup, err = r.own(ctx, it.name.Namespace, BackupName(it.name.Name), it.name.Name); err != nil {
		return err
	}
	if it.drill, err = r.own(ctx, it.name.Namespace, DrillName(it.name.Name), it.name.Name); err != nil {
		return err
	}
	if it.backup == nil && it.drill == nil && (it.set == nil || !novawire.HasBackupKeys(it.set.Annotations)) {
		return errNothing
	}
	return r.understand(ctx, it)
}

func (r *reconciler) understand(ctx context.Context, it *round) error {
	ns, err := get(ctx, r.client, types.NamespacedName{Name: it.name.Namespace}, namespaceMetadata())
	if err != nil {
		return err
	}
	if ns == nil || ns.DeletionTimestamp != nil {
		return errNothing // nothing can be made there any more
	}
	it.optedIn = ns.Labels[novawire.LabelWiring] == novawire.WiringEnabled
	var annotations map[string]string
	if it.set != nil {
		annotations = it.set.Annotations
	}
	it.request, it.refusals = novawire.ReadBackup(r.config().DefaultRequest(), it.name.Namespace, it.name.Name, annotations)
	text := annotations[novawire.AnnotationBackupStatus]
	if it.backup != nil && it.backup.Annotations[novawire.AnnotationBackupStatus] != "" {
		text = it.backup.Annotations[novawire.AnnotationBackupStatus]
	}
	if it.before, err = novawire.ParseBackupStatus(text); err != nil {
		r.tell(it, corev1.EventTypeWarning, "BackupStatusUnreadable", "the annotation was written over: %s", err)
	}
	// What this process knows is newer than what its cache holds: nobody else writes it.
	if known, ok := r.metrics.of(it.name); ok {
		it.before = known
	}
	it.status = it.before
	return nil
}

// own is a CronJob that was made for the StatefulSet, and not another's whose
// cut name happens to be the same.
func (r *reconciler) own(ctx context.Context, namespace, name, statefulSet string) (*batchv1.CronJob, error) {
	o, err := get(ctx, r.client, types.NamespacedName{Namespace: namespace, Name: name}, &batchv1.CronJob{})
	if o != nil && o.Labels[LabelStatefulSet] != statefulSet {
		return nil, err
	}
	return o, err
}

func get[T client.Object](ctx context.Context, from client.Reader, name types.NamespacedName, o T) (T, error) {
	var none T
	err := from.Get(ctx, name, o)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	return o, nil
}

// converge makes the cluster's objects what is wanted now.
func (r *reconciler) converge(ctx context.Context, it *round) error {
	switch {
	case it.set == nil:
		return r.suspend(ctx, it, deleted)
	case !it.optedIn:
		return r.suspend(ctx, it, optedOut)
	case !it.request.Enabled && it.backup != nil && len(it.backup.OwnerReferences) > 0:
		return r.remove(ctx, it)
	case !it.request.Enabled:
		return r.suspend(ctx, it, disabled)
	case len(it.refusals) > 0:
		return r.refuse(it)
	}
	return r.applyObjects(ctx, it)
}

func (r *reconciler) target(it *round) Target {
	return Target{StatefulSet: it.set, Request: it.request, Status: it.status}
}

func (r *reconciler) applyObjects(ctx context.Context, it *round) error {
	c, t := r.config(), r.target(it)
	if err := r.resume(ctx, it); err != nil {
		return err
	}
	for _, o := range c.Objects(t) {
		created, err := r.apply.apply(ctx, o)
		if errors.Is(err, errTaken) {
			r.tell(it, corev1.EventTypeWarning, "BackupRefused", "nothing was changed: %s", err)
			return err
		}
		if err != nil {
			return err
		}
		if job, ok := o.(*batchv1.CronJob); ok && created {
			r.tell(it, corev1.EventTypeNormal, "BackupScheduled", "CronJob %s: %s, %s, to %s", job.Name, job.Spec.Schedule, *job.Spec.TimeZone, it.request.Place(it.name.Namespace, it.name.Name))
		}
	}
	if err := r.removeUnwanted(ctx, it, c); err != nil {
		return err
	}
	s := &it.status
	s.Schedule, s.TimeZone, s.Place, s.Refused = schedule(t), it.request.TimeZone, it.request.Place(it.name.Namespace, it.name.Name), nil
	if s.DrillSchedule = ""; it.request.Drill {
		s.DrillSchedule = drillSchedule(t)
	}
	reason := ""
	if it.request.Suspend {
		reason = suspendedByRequest
	}
	r.tellSuspension(it, reason)
	return nil
}

// removeUnwanted deletes what an earlier request or configuration made.
func (r *reconciler) removeUnwanted(ctx context.Context, it *round, c Config) error {
	if !it.request.Drill && it.drill != nil {
		if err := r.delete(ctx, it.drill); err != nil {
			return err
		}
	}
	name := types.NamespacedName{Namespace: it.name.Namespace, Name: BackupName(it.name.Name)}
	if it.request.ServiceAccount != "" {
		if err := r.deleteOwn(ctx, it, name, &corev1.ServiceAccount{}); err != nil {
			return err
		}
	}
	if !c.Network.Disabled {
		return nil
	}
	return r.deletePolicies(ctx, it, name)
}

func (r *reconciler) deletePolicies(ctx context.Context, it *round, name types.NamespacedName) error {
	database := types.NamespacedName{Namespace: name.Namespace, Name: name.Name + "-database"}
	return errors.Join(r.deleteOwn(ctx, it, name, &networkingv1.NetworkPolicy{}), r.deleteOwn(ctx, it, database, &networkingv1.NetworkPolicy{}))
}

func (r *reconciler) deleteOwn(ctx context.Context, it *round, name types.NamespacedName, o client.Object) error {
	err := r.client.Get(ctx, name, o)
	if apierrors.IsNotFound(err) || err == nil && o.GetLabels()[LabelStatefulSet] != it.name.Name {
		return nil
	}
	if err != nil {
		return err
	}
	return r.delete(ctx, o)
}

func (r *reconciler) delete(ctx context.Context, o client.Object) error {
	uid := o.GetUID()
	err := r.client.Delete(ctx, o, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	return client.IgnoreNotFound(err)
}

// remove deletes all that was made for a StatefulSet which asked for that, and
// is no longer backed up. Backups stay where they are.
func (r *reconciler) remove(ctx context.Context, it *round) error {
	name := types.NamespacedName{Namespace: it.name.Namespace, Name: BackupName(it.name.Name)}
	for _, cronJob := range []*batchv1.CronJob{it.backup, it.drill} {
		if cronJob == nil {
			continue
		}
		if err := r.delete(ctx, cronJob); err != nil {
			return err
		}
	}
	if err := errors.Join(r.deletePolicies(ctx, it, name), r.deleteOwn(ctx, it, name, &corev1.ServiceAccount{})); err != nil {
		return err
	}
	it.backup, it.drill = nil, nil
	r.tellSuspension(it, disabled)
	return nil
}

// suspend leaves CronJobs as they are, but for starting nothing, and says why on
// each. Applying would need to know what they are to be, which is gone.
func (r *reconciler) suspend(ctx context.Context, it *round, reason string) error {
	for _, o := range []*batchv1.CronJob{it.backup, it.drill} {
		if o == nil || o.Spec.Suspend != nil && *o.Spec.Suspend && o.Annotations[annotationSuspendedBecause] == reason {
			continue
		}
		yes, now := true, o.DeepCopy()
		now.Spec.Suspend = &yes
		if now.Annotations == nil {
			now.Annotations = map[string]string{}
		}
		now.Annotations[annotationSuspendedBecause] = reason
		if err := r.client.Patch(ctx, now, client.MergeFrom(o), objectOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("suspend %s: %w", o.Name, err)
		}
	}
	if it.backup == nil && it.drill == nil && it.status.Suspended == "" && len(it.status.Databases) == 0 {
		return nil // it was never backed up: nothing to tell
	}
	r.tellSuspension(it, reason)
	return nil
}

// resume takes back what suspend said; applying lifts the suspension.
func (r *reconciler) resume(ctx context.Context, it *round) error {
	for _, o := range []*batchv1.CronJob{it.backup, it.drill} {
		if o == nil || it.request.Suspend || o.Annotations[annotationSuspendedBecause] == "" {
			continue
		}
		now := o.DeepCopy()
		delete(now.Annotations, annotationSuspendedBecause)
		if err := r.client.Patch(ctx, now, client.MergeFrom(o), objectOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("resume %s: %w", o.Name, err)
		}
	}
	return nil
}

// refuse keeps what is there: yesterday's backup of a database is better than
// none because of today's mistake.
func (r *reconciler) refuse(it *round) error {
	var lines []string
	for _, refusal := range it.refusals {
		lines = append(lines, refusal.Error())
	}
	if !slices.Equal(lines, it.status.Refused) {
		r.tell(it, corev1.EventTypeWarning, "BackupRefused", "%s", strings.Join(lines, "; "))
	}
	it.status.Refused = lines
	return nil
}

// runNow starts the Job that the annotation asks for, once for each value.
func (r *reconciler) runNow(ctx context.Context, it *round) error {
	run := it.request.Run
	if it.set == nil || run == "" || run == it.status.Handled || len(it.refusals) > 0 {
		return nil
	}
	if !it.optedIn || !it.request.Enabled {
		why := disabled
		if !it.optedIn {
			why = optedOut
		}
		r.tell(it, corev1.EventTypeWarning, "BackupRefused", "%s: %q starts nothing: %s", novawire.AnnotationBackupRun, run, why)
		it.status.Handled = run
		return nil
	}
	c, t := r.config(), r.target(it)
	cronJob, verb := c.BackupCronJob(t), VerbRun
	if it.request.Drills() {
		cronJob, verb = c.DrillCronJob(t), VerbDrill
		if !it.request.Drill {
			cronJob = c.BackupCronJob(t) // its owner, where there is no other
			cronJob.Spec.JobTemplate.Spec = c.jobSpec(t, VerbDrill)
			cronJob.Spec.JobTemplate.Labels = podLabels(it.name.Name, VerbDrill)
		}
	}
	owner, err := get(ctx, r.live, client.ObjectKeyFromObject(cronJob), &batchv1.CronJob{})
	if err != nil || owner == nil {
		return fmt.Errorf("start a run: CronJob %s: %w", cronJob.Name, errors.Join(err, errNotThere))
	}
	cronJob.UID = owner.UID
	job := JobOf(cronJob, verb, run)
	if err := r.client.Create(ctx, job, objectOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("start a run: %w", err)
	}
	r.tell(it, corev1.EventTypeNormal, "BackupRunStarted", "Job %s, asked for by %s: %s", job.Name, novawire.AnnotationBackupRun, run)
	it.status.Handled = run
	return nil
}

var errNotThere = errors.New("is not there yet")

// JobOf is the Job that a CronJob would start, under a name that the token decides.
func JobOf(cronJob *batchv1.CronJob, verb, token string) *batchv1.Job {
	yes := true
	template := cronJob.Spec.JobTemplate.DeepCopy()
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cronJob.Namespace, Name: JobName(cronJob.Name, verb, token), Labels: template.Labels,
			Annotations: map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}, // as kubectl marks it
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "CronJob", Name: cronJob.Name, UID: cronJob.UID, Controller: &yes,
			}},
		},
		Spec: template.Spec,
	}
}

// annotate writes what is known where it is kept, and where users look.
func (r *reconciler) annotate(ctx context.Context, it *round) error {
	if it.status.Empty() {
		return nil // never backed up
	}
	r.metrics.set(it.name, it.status)
	value := it.status.Encode()
	// What this round created is not in the cache: the one that follows annotates it.
	for _, o := range []client.Object{objectOrNil(it.backup), objectOrNil(it.set)} {
		if o == nil {
			continue
		}
		if err := r.apply.annotate(ctx, o, novawire.AnnotationBackupStatus, value); apierrors.IsConflict(err) {
			continue // deleted since
		} else if err != nil {
			return err
		}
	}
	return nil
}

func objectOrNil[T any, P interface {
	*T
	client.Object
}](o P) client.Object {
	if o == nil {
		return nil
	}
	return o
}

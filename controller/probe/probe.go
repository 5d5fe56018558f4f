// Package probe checks from outside that admission works: it creates a pod through the API
// server, as a dry run, and looks whether it comes back wired. It also watches that the webhook
// configurations exist. Without it, a webhook that nobody calls looks like one without pods.
package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/validate"
)

// Options configures the probe.
type Options struct {
	// Namespace is where the pod would be created. It has to be opted in.
	Namespace string
	// Configuration is the name of both webhook configurations.
	Configuration string
	// Manager names the Deployment that Events are about.
	Manager client.ObjectKey
	// Interval is the time between two pods; after a failure it is Retry.
	Interval, Retry time.Duration
	Metrics         *Metrics
	// RestoreAfter is how long a webhook configuration may be missing until it is put back; 0
	// leaves that to people.
	RestoreAfter time.Duration
	// Shipped are the configurations of this version, by kind, for a manager that has never seen
	// those of the cluster.
	Shipped map[string]client.Object
	// Result receives whether the pod came back wired, each time.
	Result func(ok bool)
}

// Defaults of the intervals.
const (
	Interval = time.Minute
	Retry    = 5 * time.Second
)

// prober is a Runnable of a manager, for its leader.
type prober struct {
	Options
	client  client.Client
	live    client.Reader
	watch   cache.Cache
	events  events.EventRecorder
	version func() string
	wake    chan struct{}
	last    map[string]result // by what is checked
	// byPolicy reports that a MutatingAdmissionPolicy decided about the last synthetic pod that was
	// not refused.
	byPolicy bool

	missing map[string]time.Time // since when a webhook configuration is not there, by kind

	mu   sync.Mutex
	kept map[string]client.Object // the last state of each that was seen, by kind
}

// result is the result of one check.
type result struct {
	ok      bool
	reason  string // of an Event
	cause   string // the action of an Event: Events that differ in it are not counted as one
	message string
}

// The kinds of webhook configurations.
const (
	kindMutating   = "MutatingWebhookConfiguration"
	kindValidating = "ValidatingWebhookConfiguration"
)

// Add registers the probe with a manager. It must run on one replica at a time.
func Add(mgr manager.Manager, o Options) error {
	named := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", o.Configuration)} // RBAC allows this name alone
	watch, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(), DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&admissionv1.MutatingWebhookConfiguration{}: named, &admissionv1.ValidatingWebhookConfiguration{}: named,
		},
	})
	if err != nil {
		return fmt.Errorf("create the cache of webhook configurations: %w", err)
	}
	if err := mgr.Add(watch); err != nil {
		return fmt.Errorf("add the cache of webhook configurations: %w", err)
	}
	return mgr.Add(&prober{
		Options: o, client: mgr.GetClient(), live: mgr.GetAPIReader(), watch: watch, events: mgr.GetEventRecorder("novawire-probe"),
		version: func() string { return serverVersion(mgr.GetConfig()) }, wake: make(chan struct{}, 1), last: map[string]result{},
		missing: map[string]time.Time{}, kept: map[string]client.Object{},
	})
}

// Start checks until the context ends: at intervals, and when a webhook configuration changes.
func (p *prober) Start(ctx context.Context) error {
	for kind, o := range map[string]client.Object{kindMutating: &admissionv1.MutatingWebhookConfiguration{}, kindValidating: &admissionv1.ValidatingWebhookConfiguration{}} {
		informer, err := p.watch.GetInformer(ctx, o)
		if err != nil {
			return fmt.Errorf("watch webhook configurations: %w", err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { p.keep(kind, o); p.request() },
			UpdateFunc: func(_, o any) { p.keep(kind, o); p.request() },
			DeleteFunc: func(o any) { p.keep(kind, o); p.request() },
		}); err != nil {
			return fmt.Errorf("watch webhook configurations: %w", err)
		}
	}
	for changed := false; ; {
		wait := p.Interval
		if ok := p.check(ctx); !ok || changed {
			wait = p.Retry // after a change, API servers may not have seen it yet
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			changed = true
		case <-time.After(wait):
			changed = false
		}
	}
}

// request requests a check, unless one is requested already.
func (p *prober) request() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// check reports whether all is well.
func (p *prober) check(ctx context.Context) bool {
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	hasMutating, hasValidating := p.has(ctx, mutating), p.has(ctx, validating)
	probed := p.probe(ctx, mutating)
	if ctx.Err() != nil {
		return true
	}
	if !hasMutating && p.byPolicy {
		hasMutating = true // none is wanted: the policy wires pods in its place
		delete(p.missing, kindMutating)
		delete(p.last, kindMutating)
		p.Metrics.forgetPresent(kindMutating)
	} else {
		p.reportConfiguration(ctx, kindMutating, hasMutating, "new pods are not wired")
		if !hasMutating {
			probed = result{reason: "AdmissionProbeFailed", cause: "ConfigurationMissing", message: "the MutatingWebhookConfiguration " + p.Configuration + " does not exist"}
		}
	}
	p.reportConfiguration(ctx, kindValidating, hasValidating, "nobody is warned at kubectl apply, and wrong backup annotations are not refused")
	p.Metrics.setSuccess(probed.ok)
	if p.Result != nil {
		p.Result(probed.ok)
	}
	p.report(ctx, "admission", probed)
	return hasMutating && hasValidating && probed.ok
}

// has reads a webhook configuration and reports whether it exists. Another error of the cache
// means that the manager is shutting down.
func (p *prober) has(ctx context.Context, into client.Object) bool {
	return !apierrors.IsNotFound(p.watch.Get(ctx, client.ObjectKey{Name: p.Configuration}, into))
}

// reportConfiguration reports whether a webhook configuration exists, and restores it.
func (p *prober) reportConfiguration(ctx context.Context, kind string, exists bool, effect string) {
	r := result{ok: exists, reason: "WebhookConfigurationMissing", cause: kind, message: fmt.Sprintf(
		"the %s %s does not exist: %s; install it again: kubectl apply --server-side -k OVERLAY, or helm upgrade", kind, p.Configuration, effect)}
	p.Metrics.setPresent(kind, r.ok)
	p.report(ctx, kind, r)
	if r.ok {
		delete(p.missing, kind)
	} else {
		p.restore(ctx, kind)
	}
}

// probe creates the pod as a dry run.
func (p *prober) probe(ctx context.Context, mutating *admissionv1.MutatingWebhookConfiguration) result {
	failed := result{reason: "AdmissionProbeFailed", cause: "Refused"}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	pod := syntheticPod(p.Namespace)
	if err := p.client.Create(ctx, pod, client.DryRunAll); err != nil {
		failed.message = fmt.Sprintf("the API server refuses the dry run of a pod in %s: %v", p.Namespace, err)
		return failed
	}
	var wired bool
	if wired, p.byPolicy = readStatus(pod); wired {
		return result{ok: true}
	}
	if p.byPolicy && mutating.Name == "" {
		failed.cause, failed.message = "LeftByPolicy", "the MutatingAdmissionPolicy leaves the dry run of a pod alone: "+pod.Annotations[injection.AnnotationStatus]
		return failed
	}
	ns := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
	if err := p.client.Get(ctx, client.ObjectKey{Name: p.Namespace}, ns); err != nil {
		failed.message = fmt.Sprintf("the dry run of a pod in %s is not wired, and the namespace cannot be read: %v", p.Namespace, err)
		return failed
	}
	cause, text := whyNot(mutating, ns, p.Manager, p.version)
	failed.cause, failed.message = cause, "the dry run of a pod is not wired: "+text
	return failed
}

// report logs a result and records an Event when it differs from the one before.
func (p *prober) report(ctx context.Context, what string, r result) {
	before, known := p.last[what]
	p.last[what] = r
	if known && before.ok == r.ok && before.cause == r.cause || !known && r.ok {
		return
	}
	manager := &corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.Manager.Namespace, Name: p.Manager.Name}
	logger := log.FromContext(ctx).WithName("probe")
	if r.ok {
		logger.Info("check succeeds again", "check", what)
		p.events.Eventf(manager, nil, corev1.EventTypeNormal, "AdmissionWorks", what, "%s: works again", what)
		return
	}
	logger.Error(nil, "admission does not work", "check", what, "reason", r.message)
	p.events.Eventf(manager, nil, corev1.EventTypeWarning, r.reason, r.cause, "%s", validate.EventNote(r.message))
}

func serverVersion(config *rest.Config) string {
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return ""
	}
	version, err := d.ServerVersion()
	if err != nil {
		return ""
	}
	return version.GitVersion
}

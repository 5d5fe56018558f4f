package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/cmd/novawire/dashboard"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/internal/version"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/diagnosis"
)

// readTimeout bounds one reading of the cluster, so that the page can say that there is no
// answer.
const readTimeout = 30 * time.Second

// dashboardSource answers the page from what `status` and `explain` read.
type dashboardSource struct {
	flags    dashboardFlags
	cluster  *kubernetes.Client
	context  string // of the kubeconfig
	programs diagnosis.Programs
	now      func() time.Time

	mu   sync.Mutex // of last, and of its time
	last *reading   // or the one under way: one at a time, however many pages are open
}

// reading is the cluster at one time, or why it could not be read.
type reading struct {
	done chan struct{}
	err  error

	at         time.Time // zero while it is under way
	in         *installation
	notes      []string
	namespaces []metav1.PartialObjectMetadata
	pods       []surveyedPod
	backups    []statusEntry
	telemetry  telemetry.Report
}

func newDashboardSource(f dashboardFlags, cluster *kubernetes.Client, program string) (*dashboardSource, error) {
	raw, err := f.cluster.loader().RawConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	name := f.cluster.context
	if name == "" {
		name = raw.CurrentContext
	}
	if name == "" {
		name = "this cluster" // in a pod
	}
	return &dashboardSource{flags: f, cluster: cluster, context: name, programs: f.cluster.programs(program), now: time.Now}, nil
}

// where names what the page shows.
func (d *dashboardSource) where() string {
	if d.flags.namespace != "" {
		return "namespace " + d.flags.namespace + " of " + d.context
	}
	return d.context
}

// dashboardStatus is the answer of /api/status.
type dashboardStatus struct {
	Context   string `json:"context"`
	Namespace string `json:"namespace,omitempty"` // "" for all
	Version   string `json:"version"`
	// Interval is how often the page asks, in milliseconds.
	Interval          int64  `json:"interval"`
	ConfigurationFrom string `json:"configurationFrom"`
	// Explained are the kinds that explain takes.
	Explained []string `json:"explained"`
	*clusterStatus
	// Fixes are the commands for Names, in their order.
	Fixes   []string         `json:"fixes,omitempty"`
	Backups []backupCalendar `json:"backups"`
	// Telemetry is nil if nothing is counted.
	Telemetry *shownTelemetry `json:"telemetry,omitempty"`
}

// Status implements [dashboard.Source].
func (d *dashboardSource) Status(ctx context.Context) (any, error) {
	r, err := d.read(ctx)
	if err != nil {
		return nil, d.explained(err)
	}
	s := summarize(r.in, r.namespaces, slices.Clone(r.pods), nil, workload.Owner{})
	s.Notes = append(slices.Clone(r.notes), s.Notes...)
	if d.flags.namespace != "" && len(r.namespaces) == 0 {
		s.Notes = append(s.Notes, notOptedIn(d.flags.namespace))
	}
	answer := dashboardStatus{
		Context: d.context, Namespace: d.flags.namespace, Version: version.String(), Interval: d.flags.interval.Milliseconds(),
		ConfigurationFrom: r.in.from, Explained: explainedKindNames(), clusterStatus: s, Backups: []backupCalendar{},
		Telemetry: newShownTelemetry(r.telemetry),
	}
	for _, p := range s.Names {
		answer.Fixes = append(answer.Fixes, p.fix(d.programs.Kubectl))
	}
	for _, b := range r.backups {
		answer.Backups = append(answer.Backups, newBackupCalendar(b, d.now()))
	}
	return answer, nil
}

// Pods implements [dashboard.Source].
func (d *dashboardSource) Pods(ctx context.Context, of dashboard.Workload) (any, error) {
	r, err := d.read(ctx)
	if err != nil {
		return nil, d.explained(err)
	}
	pods := slices.DeleteFunc(slices.Clone(r.pods), func(p surveyedPod) bool { return p.namespace != of.Namespace })
	found := []podDetail{}
	for _, ns := range summarize(r.in, nil, pods, nil, workload.Owner{Kind: of.Kind, Name: of.Name}).Namespaces {
		for _, w := range ns.Workloads {
			found = append(found, w.Details...)
		}
	}
	return found, nil
}

// read returns the last reading, also one that failed, or a new one if it is older than half
// of the interval: the page that asks after a whole interval gets a new one.
func (d *dashboardSource) read(ctx context.Context) (*reading, error) {
	d.mu.Lock()
	r := d.last
	if r == nil || !r.at.IsZero() && d.now().Sub(r.at) >= d.flags.interval/2 {
		r = &reading{done: make(chan struct{})}
		d.last = r
		go func() {
			defer close(r.done)
			// A page that is closed meanwhile does not waste the reading of the others.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
			defer cancel()
			r.err = d.fill(ctx, r)
			d.mu.Lock()
			defer d.mu.Unlock()
			r.at = d.now()
		}()
	}
	d.mu.Unlock()
	select {
	case <-r.done:
		return r, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// install reads the installation. What the API server refuses is a note of it: an error is a
// mistake in the configuration.
func (d *dashboardSource) install(ctx context.Context) (*installation, error) {
	in, err := readInstallation(ctx, d.cluster, d.flags.system, d.flags.config)
	if err != nil {
		return nil, &dashboard.Error{Status: http.StatusInternalServerError, Err: err}
	}
	return in, nil
}

// fill reads the cluster.
func (d *dashboardSource) fill(ctx context.Context, r *reading) error {
	in, err := d.install(ctx)
	if err != nil {
		return err
	}
	r.in = in
	if r.namespaces, r.pods, err = in.survey(ctx, d.cluster, d.flags.namespace); err != nil {
		return err
	}
	if r.backups, err = listStatuses(ctx, d.cluster, d.flags.namespace); err != nil {
		in.note("backups cannot be read: %v", err)
	}
	if r.telemetry, err = telemetry.Read(ctx, d.cluster, d.flags.system, d.flags.namespace, 0); err != nil {
		in.note("the account of telemetry cannot be read: %v", err)
	}
	r.notes = in.notes
	return nil
}

// dashboardExplanation is the answer of /api/explain: pods with the same state and cause are
// one group.
type dashboardExplanation struct {
	explanation
	Pods   any            `json:"pods,omitempty"` // left out: Groups has them
	Groups []explainGroup `json:"groups"`
	// Command prints the same.
	Command string `json:"command"`
}

type explainGroup struct {
	podExplanation     // the first one
	Count          int `json:"count"` // 0: the workload has no pods
}

// Explain implements [dashboard.Source].
func (d *dashboardSource) Explain(ctx context.Context, of dashboard.Workload) (any, error) {
	k, known := explainedKinds[strings.ToLower(of.Kind)]
	if !known {
		return nil, &dashboard.Error{Status: http.StatusBadRequest, Err: fmt.Errorf("explain takes no %s; use one of %s", of.Kind, strings.Join(explainedKindNames(), ", "))}
	}
	if d.flags.namespace != "" && of.Namespace != d.flags.namespace {
		return nil, &dashboard.Error{Status: http.StatusForbidden, Err: fmt.Errorf("this dashboard shows the namespace %s only", d.flags.namespace)}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	in, err := d.install(ctx)
	if err != nil {
		return nil, d.explained(err)
	}
	e := explainer{cluster: d.cluster, in: in, namespace: of.Namespace, programs: d.programs}
	found, err := e.explain(ctx, k, of.Name)
	if err != nil {
		return nil, d.explained(err)
	}
	answer := dashboardExplanation{explanation: *found, Groups: []explainGroup{}}
	answer.Command = fmt.Sprintf("%s explain %s/%s -n %s%s", d.programs.Novawire, strings.ToLower(k.kind), of.Name, of.Namespace, d.programs.NovawireFlags)
	for _, group := range found.groups() {
		n := len(group)
		if group[0].Name == "" {
			n = 0
		}
		answer.Groups = append(answer.Groups, explainGroup{group[0], n})
	}
	return answer, nil
}

// explainedKindNames returns the kinds that explain takes, as objects have them.
func explainedKindNames() (names []string) {
	for _, k := range explainedKinds {
		if !slices.Contains(names, k.kind) {
			names = append(names, k.kind)
		}
	}
	slices.Sort(names)
	return names
}

// explained gives an error of the API server its status code and says what to do.
func (d *dashboardSource) explained(err error) error {
	var known *dashboard.Error
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &known):
		return known
	case apierrors.IsForbidden(err) && d.flags.namespace == "":
		return &dashboard.Error{Status: http.StatusForbidden, Err: fmt.Errorf("%w; with rights in one namespace only, start novawire dashboard --namespace NAMESPACE", err)}
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the API server of %s did not answer within %s", d.context, readTimeout)
	case errors.As(err, &status) && status.Status().Code >= http.StatusBadRequest:
		return &dashboard.Error{Status: int(status.Status().Code), Err: err}
	}
	return fmt.Errorf("the API server of %s does not answer: %w", d.context, err)
}

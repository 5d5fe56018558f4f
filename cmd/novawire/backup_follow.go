package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/kubernetes"
)

func backupNowCommand(use, short string, drill bool) *cobra.Command {
	var flags backupFlags
	var detach bool
	verb := resources.VerbRun
	if drill {
		verb = resources.VerbDrill
	}
	cmd := &cobra.Command{
		Use:   use + " KIND/NAME",
		Short: short,
		Long: `Requests a run from the controller with the annotation ` + backupapi.AnnotationRun + ` and shows
its output. The caller needs the rights to patch the object and to read Jobs, pods and logs.

Exit codes: 0 success (with --detach: requested), 1 failure, 2 a wrong command line.`,
		Example: "  novawire backup " + use + " sts/postgres -n nova",
		Args:    oneSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			job, err := b.requestRun(cmd.Context(), verb, backupapi.RunValue(drill, time.Now()))
			if err != nil || detach {
				return err
			}
			return b.follow(cmd.Context(), job)
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait for the run")
	flags.complete(cmd)
	return cmd
}

// requestRun sets the annotation and waits for the Job that the controller starts.
func (b *backupClient) requestRun(ctx context.Context, verb, token string) (string, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{backupapi.AnnotationRun: token}}})
	if err != nil {
		return "", err
	}
	annotations, err := b.patch(ctx, patch)
	if err != nil {
		return "", fmt.Errorf("request a run: %w", err)
	}
	if annotations[backupapi.AnnotationEnabled] != "true" {
		return "", fmt.Errorf("%s is not backed up: annotate it %s: \"true\"", b.source, backupapi.AnnotationEnabled)
	}
	// A drill without a schedule of its own runs from the backup's CronJob.
	names := []string{resources.JobName(resources.BackupName(b.source), verb, token)}
	if verb == resources.VerbDrill {
		names = append(names, resources.JobName(resources.DrillName(b.source), verb, token))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no Job was created within a minute: check that the controller runs; the Events of the object (kubectl describe) say more"))
	defer cancel()
	var found string
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		for _, name := range names {
			_, err := kubernetes.Jobs.Get(ctx, b.cluster, b.source.Namespace, name)
			if err == nil {
				found = name
				fmt.Fprintf(b.stderr, "Job %s/%s\n", b.source.Namespace, name)
				return true, nil
			}
			if !apierrors.IsNotFound(err) {
				return false, err
			}
		}
		return false, nil
	})
	if err != nil {
		return "", fmt.Errorf("request a run: %w", err)
	}
	return found, nil
}

// patch changes the source and returns its annotations. It asks the API server for the
// metadata only, so that the content of a Secret is not sent.
func (b *backupClient) patch(ctx context.Context, patch []byte) (map[string]string, error) {
	change := kubernetes.Secrets.MergePatchMetadata
	switch b.source.Kind {
	case backupapi.KindStatefulSet:
		change = kubernetes.StatefulSets.MergePatchMetadata
	case backupapi.KindService:
		change = kubernetes.Services.MergePatchMetadata
	case backupapi.KindSecret:
	}
	changed, err := change(ctx, b.cluster, b.source.Namespace, b.source.Name, patch)
	if err != nil {
		return nil, err
	}
	return changed.Annotations, nil
}

// runVerb creates a Job that runs a verb and shows its output.
func (f *backupFlags) runVerb(cmd *cobra.Command, args []string, verb string, more []string) error {
	b, err := f.open(cmd, args)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	backup, drill, err := b.cronJobs(ctx)
	if err != nil {
		return err
	}
	job := resources.JobForVerb(backup, drill, verb, more, strconv.FormatInt(time.Now().UnixNano(), 36))
	job.TypeMeta = metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}
	if _, err := kubernetes.Jobs.Create(ctx, b.cluster, b.source.Namespace, job); err != nil {
		return fmt.Errorf("start a Job: %w", err)
	}
	fmt.Fprintf(b.stderr, "Job %s/%s\n", b.source.Namespace, job.Name)
	return b.follow(ctx, job.Name)
}

// follow shows the logs of a Job's pods until the Job has finished. Each attempt of a
// Job has a pod of its own.
func (b *backupClient) follow(ctx context.Context, job string) error {
	seen := map[types.UID]bool{}
	var last *corev1.ContainerStateTerminated
	for {
		pod, done, err := b.nextPod(ctx, job, seen)
		if err != nil {
			return err
		}
		if done {
			return outcome(job, last)
		}
		seen[pod.UID] = true
		if err := b.showLog(ctx, pod.Name); err != nil {
			return err
		}
		if last, err = b.waitTerminated(ctx, pod.Name); err != nil {
			return err
		}
	}
}

// nextPod waits for a started pod of the Job that is not in seen, or for the end of the Job.
func (b *backupClient) nextPod(ctx context.Context, job string, seen map[types.UID]bool) (next *corev1.Pod, done bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.start, fmt.Errorf("job %s has not started after %s (--start-timeout)", job, b.start))
	defer cancel()
	lastReason := ""
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		pods, err := kubernetes.Pods.List(ctx, b.cluster, b.source.Namespace, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return false, err
		}
		for i := range pods {
			pod := &pods[i]
			if seen[pod.UID] {
				continue
			}
			if started(pod) {
				next = pod
				return true, nil
			}
			if reason := waitingReason(pod); reason != "" && reason != lastReason {
				lastReason = reason
				fmt.Fprintf(b.stderr, "%s is waiting: %s\n", pod.Name, reason)
			}
		}
		done, err = b.jobEnded(ctx, job)
		return done, err
	})
	if err != nil {
		if lastReason != "" {
			return nil, false, fmt.Errorf("follow: %w: %s", err, lastReason)
		}
		return nil, false, fmt.Errorf("follow: %w", err)
	}
	return next, done, nil
}

func started(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == resources.Container && (s.State.Running != nil || s.State.Terminated != nil) {
			return true
		}
	}
	return false
}

func waitingReason(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		if w := s.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			return strings.TrimSpace(s.Name + ": " + w.Reason + ": " + w.Message)
		}
	}
	return ""
}

func (b *backupClient) jobEnded(ctx context.Context, name string) (bool, error) {
	job, err := kubernetes.Jobs.Get(ctx, b.cluster, b.source.Namespace, name)
	if apierrors.IsNotFound(err) {
		return false, fmt.Errorf("job %s was deleted", name)
	}
	if err != nil {
		return false, err
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return true, nil
		}
	}
	return false, nil
}

func (b *backupClient) showLog(ctx context.Context, pod string) error {
	log, err := b.cluster.Log(ctx, b.source.Namespace, pod, resources.Container, kubernetes.LogOptions{Follow: true})
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", pod, err)
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(b.stdout, formatLogLine(lines.Text()))
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the log of %s: %w", pod, err)
	}
	return nil
}

// formatLogLine converts a JSON log line of pg-backup to text and returns other lines
// unchanged.
func formatLogLine(line string) string {
	var record map[string]any
	if !strings.HasPrefix(line, `{"time":`) || json.Unmarshal([]byte(line), &record) != nil {
		return line
	}
	at, _ := record["time"].(string)
	if t, err := time.Parse(time.RFC3339Nano, at); err == nil {
		at = t.Format(time.TimeOnly)
	}
	text := fmt.Sprintf("%s %v %v", at, record["level"], record["msg"])
	decoder := json.NewDecoder(strings.NewReader(line))
	if _, err := decoder.Token(); err != nil {
		return line
	}
	for decoder.More() { // a map would lose the order of the keys
		key, err := decoder.Token()
		var value any
		if err != nil || decoder.Decode(&value) != nil {
			return line
		}
		if name, _ := key.(string); name != "time" && name != "level" && name != "msg" {
			text += fmt.Sprintf(" %s=%v", name, value)
		}
	}
	return text
}

// waitTerminated waits until the kubelet has reported how the container ended, which it
// does a moment after the end of the log.
func (b *backupClient) waitTerminated(ctx context.Context, pod string) (ended *corev1.ContainerStateTerminated, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the kubelet did not report the end of the container within a minute"))
	defer cancel()
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		o, err := kubernetes.Pods.Get(ctx, b.cluster, b.source.Namespace, pod)
		if apierrors.IsNotFound(err) {
			return false, errors.New("the pod was deleted")
		}
		if err != nil {
			return false, err
		}
		for _, s := range o.Status.ContainerStatuses {
			if s.Name == resources.Container && s.State.Terminated != nil {
				ended = s.State.Terminated
				return true, nil
			}
		}
		return o.Status.Phase == corev1.PodFailed, nil
	})
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", pod, err)
	}
	return ended, nil
}

// outcome returns an error if the Job's last pod failed.
func outcome(job string, last *corev1.ContainerStateTerminated) error {
	switch {
	case last == nil:
		return fmt.Errorf("job %s ended before its container started: %s", job, backupapi.CategoryNotStarted)
	case last.ExitCode == 0:
		return nil
	}
	category, message := backupapi.CategoryOf(int(last.ExitCode)), ""
	if result, err := backupapi.ParseResult([]byte(last.Message)); err == nil {
		message = ": " + result.Message
	}
	return fmt.Errorf("job %s failed%s: %s (exit code %d)", job, message, category, last.ExitCode)
}

// poll calls a condition until it is met, fails or the context ends. At the end of
// the context it returns the context's cause.
func poll(ctx context.Context, condition wait.ConditionWithContextFunc) error {
	err := wait.PollUntilContextCancel(ctx, 400*time.Millisecond, true, condition)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

package repair

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nova/novawire/api/injection"
)

// changed says what somebody else changed since the repair began: the result would not be its
// own.
func (l *look) changed() (string, error) {
	hash, err := hashOf(l.template)
	switch {
	case err != nil:
		return "", err
	case hash != l.status.Template:
		return "somebody changed the pod template", nil
	case l.hash != l.status.Config:
		return "the configuration changed", nil
	}
	return "", nil
}

// notBetter says why a repair is to be undone, if it is: a pod that was created since the last
// replacement crashes, or is not ready in time, or none was created. unwired reports whether
// wiring cannot be the cause.
func (r *Repairer) notBetter(l *look, p *progress, created []podOf) (reason string, unwired bool) {
	now, within := r.now(), time.Duration(l.config.ReadyWithin)
	if ready := len(created) - unready(created); ready > p.ready {
		p.ready, p.at = ready, now
	}
	for _, pod := range l.ending {
		if pod.DeletionTimestamp.After(now) { // the end of its grace period
			p.ending = now
		}
	}
	for _, pod := range created {
		if container := crashLoop(pod.Pod); container != "" {
			return fmt.Sprintf("container %s of the new pod %s crashes", container, pod.Name), pod.state.PodState == injection.PodMissing
		}
	}
	before := p.unready
	p.unready = map[types.UID]time.Time{}
	for _, pod := range created {
		if pod.ready {
			continue
		}
		from, seen := before[pod.UID]
		if !seen {
			from = now
		}
		if p.unready[pod.UID] = from; now.Sub(from) >= within && now.Sub(p.at) >= within {
			return fmt.Sprintf("the new pod %s is not ready: %s", pod.Name, whyUnready(pod.Pod)), pod.state.PodState == injection.PodMissing
		}
	}
	if p.idle(now) >= within && len(l.pods)+len(l.ending) < int(l.desired) {
		return "no new pod was created", false
	}
	return "", false
}

// idle returns for how long nothing has come of a repair. The grace period of a pod does not
// count: a StatefulSet and a DaemonSet create the next one after it.
func (p *progress) idle(now time.Time) time.Duration {
	if p.ending.After(p.at) {
		return now.Sub(p.ending)
	}
	return now.Sub(p.at)
}

// unwell says what keeps a workload from being well.
func (l *look) unwell() string {
	for _, pod := range l.pods {
		if !pod.ready {
			return fmt.Sprintf("pod %s is not ready (%s)", pod.Name, whyUnready(pod.Pod))
		}
	}
	if len(l.ending) > 0 {
		return fmt.Sprintf("pod %s is terminating", l.ending[0].Name)
	}
	return "not all pods were available"
}

// well reports whether all pods of the workload exist and are ready. Its own status may be that
// of a moment ago.
func (l *look) well() bool {
	return l.settled && len(l.pods) >= int(l.desired) && unready(l.pods) == 0
}

func unready(pods []podOf) (n int) {
	for _, p := range pods {
		if !p.ready {
			n++
		}
	}
	return n
}

package diagnosis

import (
	"fmt"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// Programs are the programs in commands, with the flags that select the cluster.
type Programs struct {
	Kubectl, Novawire string
	NovawireFlags     string // after the subcommand, with a leading space
}

func (p Programs) kubectl(format string, args ...any) string {
	return p.Kubectl + " " + fmt.Sprintf(format, args...)
}

func (p Programs) novawire(command string) string {
	return p.Novawire + " " + command + p.NovawireFlags
}

// CreateWebhooks returns the command that creates the webhook configurations that are
// missing.
func (p Programs) CreateWebhooks() string {
	return p.novawire("check webhooks --manifest") + " | " + p.kubectl("apply --server-side --force-conflicts -f -")
}

// ReplaceWebhooks returns the command that makes the webhook configurations as they are
// shipped. It also removes what somebody has added.
func (p Programs) ReplaceWebhooks() string {
	return p.novawire("check webhooks --manifest") + " | " + p.kubectl("replace -f -")
}

func (p Programs) optIn(namespace string) string {
	return p.kubectl("label namespace %s %s=%s --overwrite", namespace, injection.LabelWiring, injection.WiringEnabled)
}

// then returns a command, if there is one, followed by the restart of the pod.
func (p Programs) then(first string, e Evidence) (commands []string) {
	for _, command := range []string{first, p.Restart(e.Namespace.Name, e.Pod.Name, e.Owner)} {
		if command != "" {
			commands = append(commands, command)
		}
	}
	return commands
}

// Restart returns the command that brings a new pod in place of one, or "" if there is
// none. Pods of Jobs are left to their end: to run again can harm.
func (p Programs) Restart(namespace, pod string, owner workload.Owner) string {
	switch owner.Kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return p.kubectl("-n %s rollout restart %s", namespace, reference(owner))
	case "Rollout":
		return p.kubectl("-n %s patch rollout %s --type=merge -p '{\"spec\":{\"restartAt\":\"'$(date -u +%%FT%%TZ)'\"}}'", namespace, owner.Name)
	case "Job", "CronJob":
		return ""
	case "Pod":
		if pod == "" {
			return ""
		}
		return p.kubectl("-n %s get pod %s -o yaml | ", namespace, pod) + p.kubectl("replace --force -f -")
	}
	if pod == "" {
		return ""
	}
	return p.kubectl("-n %s delete pod %s", namespace, pod)
}

// unskip returns the commands after which the engine no longer skips a pod.
func (p Programs) unskip(e Evidence) []string {
	const label = `{"metadata":{"labels":{"` + injection.LabelWiring + `":null}}}`
	const network = `{"spec":{"hostNetwork":false}}`
	ns := e.Namespace.Name
	if e.Decision.Reason == inject.OptedOut {
		if e.Owner.Kind == "Pod" {
			return p.then(p.kubectl("-n %s label pod %s %s-", ns, e.Pod.Name, injection.LabelWiring), e)
		}
		return p.patchTemplate(ns, e.Owner, label)
	}
	if e.Decision.Reason != inject.HostNetwork {
		return nil
	}
	if e.Owner.Kind == "Pod" && e.Pod.Name != "" {
		return []string{p.kubectl("-n %s get pod %s -o yaml | sed 's/hostNetwork: true/hostNetwork: false/' | ", ns, e.Pod.Name) + p.kubectl("replace --force -f -")}
	}
	return p.patchTemplate(ns, e.Owner, network)
}

// patchTemplate changes the pod template of a workload, which restarts it.
func (p Programs) patchTemplate(namespace string, owner workload.Owner, patch string) []string {
	switch owner.Kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return []string{p.kubectl(`-n %s patch %s --type=strategic -p '{"spec":{"template":%s}}'`, namespace, reference(owner), patch)}
	case "CronJob":
		return []string{p.kubectl(`-n %s patch %s --type=strategic -p '{"spec":{"jobTemplate":{"spec":{"template":%s}}}}'`, namespace, reference(owner), patch)}
	}
	return nil
}

// reference returns kind/name as kubectl accepts it.
func reference(owner workload.Owner) string {
	kinds := map[string]string{"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset", "CronJob": "cronjob"}
	return kinds[owner.Kind] + "/" + owner.Name
}

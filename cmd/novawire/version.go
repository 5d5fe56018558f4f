package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/version"
)

// versions is what `version -o json` prints.
type versions struct {
	Client  string         `json:"client"`
	Manager string         `json:"manager,omitempty"`  // the tag of its image; of replicas of several, the Deployment's
	Sidecar map[string]int `json:"sidecars,omitempty"` // running wired pods by the tag of their sidecar
	Backup  map[string]int `json:"backupCronJobs,omitempty"`
	// Notes are what the skew means and what to do.
	Notes []string `json:"notes,omitempty"`
}

func versionCommand() *cobra.Command {
	var cluster clusterFlags
	var namespace, output string
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program, of the manager, of sidecars and of backups",
		Long: `Shows the version of this program and, by the tags of their images, those of the manager in
its namespace, of the sidecars of all wired pods and of the CronJobs of backups, with what a
difference means. Supported is a difference of one minor version (docs/releases.md).

Exit codes: 0 success, 1 the cluster did not answer, 2 a wrong command line.`,
		Example: "  novawire version\n  novawire version --client",
		Args:    commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return commandline.UsageError("version: output %q: use text or json", output)
			}
			v := versions{Client: version.String()}
			if !clientOnly {
				c, _, err := cluster.open(namespace)
				if err != nil {
					return err
				}
				if err := v.read(cmd.Context(), c, namespace); err != nil {
					return err
				}
			}
			return v.write(cmd.OutOrStdout(), output)
		},
	}
	f := cmd.Flags()
	cluster.register(f)
	f.StringVarP(&namespace, "namespace", "n", defaultNamespace, "namespace of the manager")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	f.BoolVar(&clientOnly, "client", false, "only this program; needs no cluster")
	cluster.completeNamespaces(cmd)
	suggestValues(cmd, "output", "text", "json")
	return cmd
}

// read reads the versions in the cluster.
func (v *versions) read(ctx context.Context, c *kubernetes.Client, namespace string) error {
	manager, err := kubernetes.Deployments.Get(ctx, c, namespace, defaultService)
	switch {
	case apierrors.IsNotFound(err):
		v.Notes = append(v.Notes, fmt.Sprintf("there is no manager: Deployment %s/%s does not exist (--namespace names another place)", namespace, defaultService))
	case err != nil:
		return fmt.Errorf("read the manager: %w", err)
	default:
		v.Manager = imageTag(manager.Spec.Template.Spec.Containers, managerContainer)
	}
	v.Sidecar, v.Backup = map[string]int{}, map[string]int{}
	err = kubernetes.Pods.Pages(ctx, c, "", metav1.ListOptions{}, func(pods []corev1.Pod) error {
		for _, p := range pods {
			if p.Annotations[injection.AnnotationStatus] == "" || finished(p) {
				continue
			}
			if tag := imageTag(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), sidecarapi.ContainerName); tag != "" {
				v.Sidecar[tag]++
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	jobs, err := kubernetes.CronJobs.List(ctx, c, "", metav1.ListOptions{LabelSelector: resources.LabelManagedBy + "=" + resources.ManagedBy})
	if err != nil {
		return fmt.Errorf("list CronJobs: %w", err)
	}
	for _, j := range jobs {
		if tag := imageTag(j.Spec.JobTemplate.Spec.Template.Spec.InitContainers, resources.InstallContainer); tag != "" {
			v.Backup[tag]++
		}
	}
	v.compare()
	return nil
}

// compare notes the differences that need attention.
func (v *versions) compare() {
	if v.Manager == "" {
		return
	}
	client, _, _ := strings.Cut(v.Client, " ")
	if skew, known := version.MinorSkew(client, v.Manager); known && skew > 1 {
		v.Notes = append(v.Notes, fmt.Sprintf("this program is %s and the manager %s: use one of the same minor version or the next", client, v.Manager))
	}
	for _, tag := range slices.Sorted(maps.Keys(v.Sidecar)) {
		skew, known := version.MinorSkew(tag, v.Manager)
		switch {
		case tag == v.Manager:
		case known && skew > 1:
			v.Notes = append(v.Notes, fmt.Sprintf("sidecar %s in %s is not supported by manager %s: restart them", tag, count(v.Sidecar[tag], "pod"), v.Manager))
		default:
			v.Notes = append(v.Notes, fmt.Sprintf("sidecar %s in %s: the next restart brings %s", tag, count(v.Sidecar[tag], "pod"), v.Manager))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(v.Backup)) {
		if tag != v.Manager {
			v.Notes = append(v.Notes, fmt.Sprintf("pg-backup %s in %s: the configuration names it, or the controller does not run", tag, count(v.Backup[tag], "CronJob")))
		}
	}
}

func (v versions) write(w io.Writer, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "novawire\t%s\n", v.Client)
	if v.Manager != "" {
		fmt.Fprintf(table, "manager\t%s\n", v.Manager)
	}
	for _, part := range []struct {
		name, unit string
		counts     map[string]int
	}{{"sidecar", "pod", v.Sidecar}, {"pg-backup", "CronJob", v.Backup}} {
		for _, tag := range slices.Sorted(maps.Keys(part.counts)) {
			fmt.Fprintf(table, "%s\t%s\t%s\n", part.name, tag, count(part.counts[tag], part.unit))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range v.Notes {
		fmt.Fprintln(w, "note: "+note)
	}
	return nil
}

// managerContainer is the manager's container in its Deployment.
const managerContainer = "webhook"

// imageTag returns the tag of a container's image, its digest if it has no tag, or "" if
// there is no such container.
func imageTag(containers []corev1.Container, name string) string {
	for _, c := range containers {
		if c.Name != name {
			continue
		}
		image, digest, _ := strings.Cut(c.Image, "@")
		if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
			return image[colon+1:]
		}
		if digest != "" {
			return digest
		}
		return "latest"
	}
	return ""
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/kubernetes"
)

// Options select what an audit reads.
type Options struct {
	Namespace string            // "" for all
	Defaults  backupapi.Request // the configuration's
	Secrets   bool              // read Secrets that hold a PostgreSQL URL
}

// operators are the custom resources of operators that run PostgreSQL.
var operators = []struct {
	kind     string
	resource kubernetes.Resource[metav1.PartialObjectMetadata]
	operator string
	secret   func(name string) string // whose annotation starts backups
}{
	{"Cluster", kubernetes.Resource[metav1.PartialObjectMetadata]{Group: "postgresql.cnpg.io", Version: "v1", Resource: "clusters"}, "CloudNativePG", func(name string) string { return name + "-superuser or " + name + "-app" }},
	{"postgresql", kubernetes.Resource[metav1.PartialObjectMetadata]{Group: "acid.zalan.do", Version: "v1", Resource: "postgresqls"}, "the Zalando operator", func(name string) string { return "postgres." + name + ".credentials.postgresql.acid.zalan.do" }},
}

// Run reads the cluster and reports every PostgreSQL database that it recognizes.
func Run(ctx context.Context, cluster *kubernetes.Client, o Options) (Report, error) {
	i := inventory{cluster: cluster, options: o, cronJobs: map[backupapi.Source]map[string]string{}, serving: map[string]backupapi.Source{}, reported: map[backupapi.Source]bool{}, namespaces: map[string]map[string]string{}}
	err := errors.Join( // in this order: the first three are what the others refer to
		i.readNamespaces(ctx), i.readCronJobs(ctx), i.readServices(ctx),
		i.readStatefulSets(ctx), i.readDeployments(ctx), i.readOperators(ctx), i.readSecrets(ctx),
	)
	if err != nil {
		return Report{}, err
	}
	i.addServices()
	i.addCronJobs()
	i.report.sort()
	return i.report, nil
}

type inventory struct {
	cluster    *kubernetes.Client
	options    Options
	cronJobs   map[backupapi.Source]map[string]string // annotations of the CronJobs that back up
	serving    map[string]backupapi.Source            // by NAMESPACE/KIND/NAME of an operator's resource
	reported   map[backupapi.Source]bool              // the row of an operator's resource stands for them
	services   []*corev1.Service                      // that request a backup, or name PostgreSQL outside of the cluster
	namespaces map[string]map[string]string           // labels by name
	report     Report
}

// list calls visit for each object. A kind that may not be read, or that the cluster
// does not have, is no error.
func list[T any](ctx context.Context, i *inventory, what string, resource kubernetes.Resource[T], visit func(*T), selector ...string) error {
	err := resource.Pages(ctx, i.cluster, i.options.Namespace, metav1.ListOptions{LabelSelector: strings.Join(selector, ",")}, func(page []T) error {
		for n := range page {
			visit(&page[n])
		}
		return nil
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil // no such operator
	case apierrors.IsForbidden(err):
		i.report.Skipped = append(i.report.Skipped, what+": no permission to list them")
		return nil
	case err != nil:
		return fmt.Errorf("list %s: %w", what, err)
	}
	return nil
}

func (i *inventory) readNamespaces(ctx context.Context) error {
	if i.options.Namespace == "" {
		return list(ctx, i, "namespaces", kubernetes.Namespaces, func(ns *metav1.PartialObjectMetadata) { i.namespaces[ns.Name] = ns.Labels })
	}
	ns, err := kubernetes.Namespaces.Get(ctx, i.cluster, "", i.options.Namespace)
	if apierrors.IsForbidden(err) {
		i.report.Skipped = append(i.report.Skipped, "the namespace's labels: no permission to read them")
		return nil
	}
	if err != nil {
		return fmt.Errorf("read namespace: %w", err)
	}
	i.namespaces[ns.Name] = ns.Labels
	return nil
}

func (i *inventory) readCronJobs(ctx context.Context) error {
	return list(ctx, i, "CronJobs", kubernetes.CronJobs, func(job *batchv1.CronJob) {
		source, ok := resources.MadeFor(job)
		if !ok || job.Name != resources.BackupName(source) {
			return
		}
		if job.Annotations == nil {
			job.Annotations = map[string]string{}
		}
		i.cronJobs[source] = job.Annotations
		if serves := job.Annotations[resources.AnnotationServes]; serves != "" {
			i.serving[job.Namespace+"/"+serves] = source
		}
	}, resources.LabelManagedBy+"="+resources.ManagedBy)
}

func (i *inventory) readStatefulSets(ctx context.Context) error {
	return list(ctx, i, "StatefulSets", kubernetes.StatefulSets, func(set *appsv1.StatefulSet) {
		engine := resources.Engine(set.Spec.Template.Spec)
		if engine != backupapi.PostgreSQL && set.Annotations[backupapi.AnnotationEnabled] != "true" || operatedBy(set.OwnerReferences) {
			return
		}
		o := i.object(set, enableFix)
		o.engine = engine
		i.add(assess(o, i.options.Defaults))
	})
}

const annotateService = `annotate its Service ` + backupapi.AnnotationEnabled + `: "true" and ` + backupapi.AnnotationURLSecret + ": NAME/user=KEY,password=KEY"

// readDeployments finds PostgreSQL in Deployments, which are backed up by their Service.
func (i *inventory) readDeployments(ctx context.Context) error {
	return list(ctx, i, "Deployments", kubernetes.Deployments, func(deployment *appsv1.Deployment) {
		if resources.Engine(deployment.Spec.Template.Spec) != backupapi.PostgreSQL {
			return
		}
		d := database("Deployment", deployment)
		service := i.takeService(deployment.Namespace, deployment.Spec.Template.Labels)
		if service == nil {
			i.add(assessOther(d, deployment.Annotations, i.namespaces[d.Namespace], "no backup is requested", annotateService))
			return
		}
		found := assess(i.object(service, annotateService), i.options.Defaults)
		found.Kind, found.Name = d.Kind, d.Name
		i.add(found)
	})
}

// takeService returns the Service that requests backups of the pods with these labels,
// and removes it from those that are reported themselves.
func (i *inventory) takeService(namespace string, pod map[string]string) *corev1.Service {
	for n, s := range i.services {
		if s.Namespace == namespace && len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod)) {
			i.services = slices.Delete(i.services, n, n+1)
			return s
		}
	}
	return nil
}

// readServices finds Services that request a backup, and ExternalName Services, which
// name databases outside of the cluster.
func (i *inventory) readServices(ctx context.Context) error {
	return list(ctx, i, "Services", kubernetes.Services, func(s *corev1.Service) {
		if s.Annotations[backupapi.AnnotationEnabled] == "true" || s.Spec.Type == corev1.ServiceTypeExternalName && namesPostgres(s) {
			i.services = append(i.services, s)
		}
	})
}

func (i *inventory) addServices() {
	for _, s := range i.services {
		i.add(assess(i.object(s, enableFix+" and "+backupapi.AnnotationURLSecret+": NAME/user=KEY,password=KEY"), i.options.Defaults))
	}
}

// addCronJobs reports the Secrets whose database was not found otherwise: it is outside
// of the cluster, and exists even if the Secret does not.
func (i *inventory) addCronJobs() {
	for source, cronJob := range i.cronJobs {
		if source.Kind != backupapi.KindSecret || i.reported[source] {
			continue
		}
		i.add(assessCronJob(Database{Namespace: source.Namespace, Kind: string(source.Kind), Name: source.Name}, source, cronJob))
	}
}

func namesPostgres(s *corev1.Service) bool {
	for _, p := range s.Spec.Ports {
		if p.Port == backupapi.PostgresPort {
			return true
		}
	}
	return containsAny(strings.ToLower(s.Spec.ExternalName), "postgres", "pgsql") || containsAny(strings.ToLower(s.Name), "postgres", "pgsql")
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func (i *inventory) readOperators(ctx context.Context) error {
	for _, o := range operators {
		err := list(ctx, i, o.kind+"s of "+o.operator, o.resource, func(item *metav1.PartialObjectMetadata) {
			d, key := database(o.kind, item), item.Namespace+"/"+o.kind+"/"+item.Name
			if source, ok := i.serving[key]; ok {
				i.add(assessCronJob(d, source, i.cronJobs[source]))
				i.reported[source] = true
				return
			}
			i.add(assessOther(d, item.Annotations, i.namespaces[d.Namespace], "it is run by "+o.operator+", and no backup is requested",
				"annotate the Secret "+o.secret(item.Name)+" "+backupapi.AnnotationEnabled+`: "true"`))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// operatedBy reports whether a StatefulSet belongs to a custom resource that the audit
// reports itself.
func operatedBy(owners []metav1.OwnerReference) bool {
	for _, owner := range owners {
		for _, o := range operators {
			if strings.HasPrefix(owner.APIVersion, o.resource.Group+"/") {
				return true
			}
		}
	}
	return false
}

// readSecrets finds connections to databases outside of the cluster. Those to a
// Service of the cluster are of a database that has been found already.
func (i *inventory) readSecrets(ctx context.Context) error {
	if !i.options.Secrets {
		return nil
	}
	return list(ctx, i, "Secrets", kubernetes.Secrets, func(s *corev1.Secret) {
		host, ok := externalDatabase(s)
		if _, known := i.cronJobs[resources.SourceOf(s)]; !ok || known {
			return
		}
		i.add(assessOther(database("Secret", s), s.Annotations, i.namespaces[s.Namespace], host+" is outside of the cluster, and no backup is requested", enableFix))
	})
}

// externalDatabase returns the host of the PostgreSQL server outside of the cluster that
// a Secret describes, by a URL or by the keys that AWS Secrets Manager writes.
func externalDatabase(s *corev1.Secret) (host string, ok bool) {
	for _, value := range s.Data {
		if host, ok := externalHost(string(value)); ok {
			return host, true
		}
	}
	if !strings.Contains(string(s.Data[backupapi.EngineKey]), "postgres") {
		return "", false
	}
	values := map[string]string{}
	for key, value := range s.Data {
		values[backupapi.SecretVariable(key)] = string(value)
	}
	given, err := backupapi.SecretURL(s.Name, "", func(name string) string { return values[name] })
	if err != nil {
		return "", false
	}
	return externalHost(given)
}

// externalHost returns the host of a PostgreSQL URL if it is outside of the cluster.
func externalHost(value string) (string, bool) {
	u, err := url.Parse(strings.TrimSpace(value))
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", false
	}
	host := u.Hostname()
	return host, strings.Count(host, ".") >= 2 && !strings.Contains(host, ".svc")
}

func (i *inventory) object(o resources.Object, fix string) object {
	source := resources.SourceOf(o)
	return object{
		source: source, annotations: o.GetAnnotations(), namespaceLabels: i.namespaces[source.Namespace], cronJob: i.cronJobs[source], fix: fix,
	}
}

func database(kind string, o metav1.Object) Database {
	return Database{Namespace: o.GetNamespace(), Kind: kind, Name: o.GetName()}
}

func (i *inventory) add(d Database) { i.report.Databases = append(i.report.Databases, d) }

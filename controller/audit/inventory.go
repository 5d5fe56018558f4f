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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// pageSize bounds the memory of an audit of a large cluster.
const pageSize = 500

// Options select what an audit reads.
type Options struct {
	Namespace string            // "" for all
	Defaults  backupapi.Request // the configuration's
	Secrets   bool              // read Secrets that hold a PostgreSQL URL
}

// operators are the custom resources of operators that run PostgreSQL.
var operators = []struct {
	kind     schema.GroupVersionKind
	operator string
	secret   func(name string) string // whose annotation starts backups
}{
	{schema.GroupVersionKind{Group: "postgresql.cnpg.io", Version: "v1", Kind: "Cluster"}, "CloudNativePG", func(name string) string { return name + "-superuser or " + name + "-app" }},
	{schema.GroupVersionKind{Group: "acid.zalan.do", Version: "v1", Kind: "postgresql"}, "the Zalando operator", func(name string) string { return "postgres." + name + ".credentials.postgresql.acid.zalan.do" }},
}

// Run reads the cluster and reports every PostgreSQL database that it recognizes.
func Run(ctx context.Context, reader client.Reader, o Options) (Report, error) {
	i := inventory{reader: reader, options: o, cronJobs: map[backupapi.Source]map[string]string{}, serving: map[string]backupapi.Source{}, reported: map[backupapi.Source]bool{}, namespaces: map[string]map[string]string{}}
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
	reader     client.Reader
	options    Options
	cronJobs   map[backupapi.Source]map[string]string // annotations of the CronJobs that back up
	serving    map[string]backupapi.Source            // by NAMESPACE/KIND/NAME of an operator's resource
	reported   map[backupapi.Source]bool              // the row of an operator's resource stands for them
	services   []*corev1.Service                      // that request a backup, or name PostgreSQL outside of the cluster
	namespaces map[string]map[string]string           // labels by name
	report     Report
}

// list calls visit for each page of a list. A kind that may not be read, or that the
// cluster does not have, is no error.
func (i *inventory) list(ctx context.Context, what string, list client.ObjectList, visit func(), options ...client.ListOption) error {
	options = append(options, client.InNamespace(i.options.Namespace), client.Limit(pageSize))
	token := ""
	for {
		err := i.reader.List(ctx, list, append(options, client.Continue(token))...)
		switch {
		case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
			return nil // no such operator
		case apierrors.IsForbidden(err):
			i.report.Skipped = append(i.report.Skipped, what+": no permission to list them")
			return nil
		case err != nil:
			return fmt.Errorf("list %s: %w", what, err)
		}
		visit()
		if token = list.GetContinue(); token == "" {
			return nil
		}
	}
}

func (i *inventory) readNamespaces(ctx context.Context) error {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "NamespaceList"})
	if i.options.Namespace != "" {
		one := &metav1.PartialObjectMetadata{}
		one.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
		err := i.reader.Get(ctx, client.ObjectKey{Name: i.options.Namespace}, one)
		if apierrors.IsForbidden(err) {
			i.report.Skipped = append(i.report.Skipped, "the namespace's labels: no permission to read them")
			return nil
		}
		if err != nil {
			return fmt.Errorf("read namespace: %w", err)
		}
		i.namespaces[one.Name] = one.Labels
		return nil
	}
	return i.list(ctx, "namespaces", list, func() {
		for _, ns := range list.Items {
			i.namespaces[ns.Name] = ns.Labels
		}
	})
}

func (i *inventory) readCronJobs(ctx context.Context) error {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("CronJobList"))
	return i.list(ctx, "CronJobs", list, func() {
		for _, job := range list.Items {
			source, ok := resources.MadeFor(&job)
			if !ok || job.Name != resources.BackupName(source) {
				continue
			}
			if job.Annotations == nil {
				job.Annotations = map[string]string{}
			}
			i.cronJobs[source] = job.Annotations
			if serves := job.Annotations[resources.AnnotationServes]; serves != "" {
				i.serving[job.Namespace+"/"+serves] = source
			}
		}
	}, client.MatchingLabels{resources.LabelManagedBy: resources.ManagedBy})
}

func (i *inventory) readStatefulSets(ctx context.Context) error {
	list := &appsv1.StatefulSetList{}
	return i.list(ctx, "StatefulSets", list, func() {
		for _, set := range list.Items {
			engine := resources.Engine(set.Spec.Template.Spec)
			if engine != backupapi.PostgreSQL && set.Annotations[backupapi.AnnotationEnabled] != "true" || operatedBy(set.OwnerReferences) {
				continue
			}
			o := i.object(&set, enableFix)
			o.engine = engine
			i.add(assess(o, i.options.Defaults))
		}
	})
}

const annotateService = `annotate its Service ` + backupapi.AnnotationEnabled + `: "true" and ` + backupapi.AnnotationURLSecret + ": NAME/user=KEY,password=KEY"

// readDeployments finds PostgreSQL in Deployments, which are backed up by their Service.
func (i *inventory) readDeployments(ctx context.Context) error {
	list := &appsv1.DeploymentList{}
	return i.list(ctx, "Deployments", list, func() {
		for _, deployment := range list.Items {
			if resources.Engine(deployment.Spec.Template.Spec) != backupapi.PostgreSQL {
				continue
			}
			d := database("Deployment", &deployment)
			service := i.takeService(deployment.Namespace, deployment.Spec.Template.Labels)
			if service == nil {
				i.add(assessOther(d, deployment.Annotations, i.namespaces[d.Namespace], "no backup is requested", annotateService))
				continue
			}
			found := assess(i.object(service, annotateService), i.options.Defaults)
			found.Kind, found.Name = d.Kind, d.Name
			i.add(found)
		}
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
	list := &corev1.ServiceList{}
	return i.list(ctx, "Services", list, func() {
		for _, s := range list.Items {
			if s.Annotations[backupapi.AnnotationEnabled] == "true" || s.Spec.Type == corev1.ServiceTypeExternalName && namesPostgres(&s) {
				i.services = append(i.services, &s)
			}
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
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(o.kind.GroupVersion().WithKind(o.kind.Kind + "List"))
		err := i.list(ctx, o.kind.Kind+"s of "+o.operator, list, func() {
			for _, item := range list.Items {
				d, key := database(o.kind.Kind, &item), item.Namespace+"/"+o.kind.Kind+"/"+item.Name
				if source, ok := i.serving[key]; ok {
					i.add(assessCronJob(d, source, i.cronJobs[source]))
					i.reported[source] = true
					continue
				}
				i.add(assessOther(d, item.Annotations, i.namespaces[d.Namespace], "it is run by "+o.operator+", and no backup is requested",
					"annotate the Secret "+o.secret(item.Name)+" "+backupapi.AnnotationEnabled+`: "true"`))
			}
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
			if strings.HasPrefix(owner.APIVersion, o.kind.Group+"/") {
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
	list := &corev1.SecretList{}
	return i.list(ctx, "Secrets", list, func() {
		for _, s := range list.Items {
			host, ok := externalDatabase(&s)
			if _, known := i.cronJobs[resources.SourceOf(&s)]; !ok || known {
				continue
			}
			i.add(assessOther(database("Secret", &s), s.Annotations, i.namespaces[s.Namespace], host+" is outside of the cluster, and no backup is requested", enableFix))
		}
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

func (i *inventory) object(o client.Object, fix string) object {
	source := resources.SourceOf(o)
	return object{
		source: source, annotations: o.GetAnnotations(), namespaceLabels: i.namespaces[source.Namespace], cronJob: i.cronJobs[source], fix: fix,
	}
}

func database(kind string, o metav1.Object) Database {
	return Database{Namespace: o.GetNamespace(), Kind: kind, Name: o.GetName()}
}

func (i *inventory) add(d Database) { i.report.Databases = append(i.report.Databases, d) }

package audit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
}{
	{schema.GroupVersionKind{Group: "postgresql.cnpg.io", Version: "v1", Kind: "Cluster"}, "CloudNativePG"},
	{schema.GroupVersionKind{Group: "acid.zalan.do", Version: "v1", Kind: "postgresql"}, "the Zalando operator"},
}

// Run reads the cluster and reports every PostgreSQL database that it recognizes.
func Run(ctx context.Context, reader client.Reader, o Options) (Report, error) {
	i := inventory{reader: reader, options: o, cronJobs: map[client.ObjectKey]map[string]string{}, namespaces: map[string]map[string]string{}}
	err := errors.Join( // in this order: the first two are what the others refer to
		i.readNamespaces(ctx), i.readCronJobs(ctx),
		i.readStatefulSets(ctx), i.readDeployments(ctx), i.readServices(ctx), i.readOperators(ctx), i.readSecrets(ctx),
	)
	if err != nil {
		return Report{}, err
	}
	i.report.sort()
	return i.report, nil
}

type inventory struct {
	reader     client.Reader
	options    Options
	cronJobs   map[client.ObjectKey]map[string]string // annotations by name
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
			i.cronJobs[client.ObjectKeyFromObject(&job)] = job.Annotations
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
			o := i.object("StatefulSet", &set.ObjectMeta)
			o.engine = engine
			annotations, ok := i.cronJobs[client.ObjectKey{Namespace: set.Namespace, Name: resources.BackupName(set.Name)}]
			o.hasCronJob, o.status = ok, annotations[backupapi.AnnotationStatus]
			if o.status == "" {
				o.status = set.Annotations[backupapi.AnnotationStatus]
			}
			i.report.Databases = append(i.report.Databases, assess(o, i.options.Defaults))
		}
	})
}

func (i *inventory) readDeployments(ctx context.Context) error {
	list := &appsv1.DeploymentList{}
	return i.list(ctx, "Deployments", list, func() {
		for _, d := range list.Items {
			if resources.Engine(d.Spec.Template.Spec) == backupapi.PostgreSQL {
				i.add(assessUnsupported(i.object("Deployment", &d.ObjectMeta), "a Deployment cannot request a backup", "run PostgreSQL in a StatefulSet, or schedule pg-backup as a plain CronJob: docs/backup.md"))
			}
		}
	})
}

// readServices finds ExternalName Services, which name databases outside of the cluster.
func (i *inventory) readServices(ctx context.Context) error {
	list := &corev1.ServiceList{}
	return i.list(ctx, "Services", list, func() {
		for _, s := range list.Items {
			if s.Spec.Type == corev1.ServiceTypeExternalName && namesPostgres(&s) {
				i.add(assessUnsupported(i.object("Service", &s.ObjectMeta), s.Spec.ExternalName+" is outside of the cluster", plainCronJobFix))
			}
		}
	})
}

const plainCronJobFix = "schedule pg-backup as a plain CronJob: docs/backup.md"

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
				i.add(assessUnsupported(i.object(o.kind.Kind, &item.ObjectMeta), "it is run by "+o.operator, plainCronJobFix))
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
			for _, value := range s.Data {
				if host, ok := externalHost(string(value)); ok {
					i.add(assessUnsupported(i.object("Secret", &s.ObjectMeta), "it holds the URL of a database on "+host, plainCronJobFix))
					break
				}
			}
		}
	})
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

func (i *inventory) object(kind string, m *metav1.ObjectMeta) object {
	return object{namespace: m.Namespace, kind: kind, name: m.Name, annotations: m.Annotations, namespaceLabels: i.namespaces[m.Namespace]}
}

func (i *inventory) add(d Database) { i.report.Databases = append(i.report.Databases, d) }

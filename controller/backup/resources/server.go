package resources

import (
	"net"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/clusterdns"
)

// Server is what a source says about its PostgreSQL server.
type Server struct {
	// container runs the server and pod is around it; both are empty if the source is
	// no StatefulSet.
	container corev1.Container
	pod       corev1.PodSpec
	// address is host:port, "" if only a Secret knows it.
	address string
	// login is the connection that the source describes, nil if it describes none.
	login *connection
	// peers are the server's pods or namespace, nil for a server at an unknown address.
	// ports are those of the peers, nil for all.
	peers []networkingv1.NetworkPolicyPeer
	ports []int32
	// serves names the operator's resource that runs the server, as KIND/NAME.
	serves string
}

// SourceOf returns the identity of a StatefulSet, Service or Secret.
func SourceOf(o Object) backupapi.Source {
	s := backupapi.Source{Kind: backupapi.KindSecret, Namespace: o.GetNamespace(), Name: o.GetName()}
	switch o.(type) {
	case *appsv1.StatefulSet:
		s.Kind = backupapi.KindStatefulSet
	case *corev1.Service:
		s.Kind = backupapi.KindService
	}
	return s
}

// ServerOf returns the server of a StatefulSet, Service or Secret. It reads only the
// metadata of a Secret.
func ServerOf(o Object) Server {
	switch o := o.(type) {
	case *appsv1.StatefulSet:
		return serverOfStatefulSet(o)
	case *corev1.Service:
		return serverOfService(o)
	}
	return serverOfSecret(o)
}

func serverOfStatefulSet(set *appsv1.StatefulSet) Server {
	s := Server{
		container: postgresContainer(set), pod: set.Spec.Template.Spec,
		peers: []networkingv1.NetworkPolicyPeer{{PodSelector: set.Spec.Selector.DeepCopy()}},
	}
	for _, p := range s.container.Ports {
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			s.ports = append(s.ports, p.ContainerPort)
		}
	}
	if len(s.ports) == 0 {
		s.ports = []int32{defaultPort}
	}
	if set.Spec.ServiceName != "" {
		s.address = serverAddress(set, s.container)
	}
	if derivesConnection(set) {
		login := derivedConnection(set)
		s.login = &login
	}
	return s
}

// serverOfService returns the server behind a Service. Policies match the ports of pods,
// and a Service's port says nothing about them, so the pods of a Service have no ports.
func serverOfService(service *corev1.Service) Server {
	port := servicePort(service)
	s := Server{address: net.JoinHostPort(service.Name+"."+service.Namespace+".svc", strconv.Itoa(int(port)))}
	switch {
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		// The name that certificates have.
		s.address = net.JoinHostPort(strings.TrimSuffix(service.Spec.ExternalName, "."), strconv.Itoa(int(port)))
		if namespace, ok := clusterdns.ServiceNamespace(service.Spec.ExternalName, service.Namespace); ok {
			s.peers = []networkingv1.NetworkPolicyPeer{namespacePeer(namespace)}
		} else {
			s.ports = []int32{port}
		}
	case len(service.Spec.Selector) > 0:
		s.peers = peersLabelled(service.Spec.Selector)
	default:
		s.ports = []int32{port}
	}
	return s
}

// servicePort returns PostgreSQL's standard port or the port with its name, else the
// first one.
func servicePort(service *corev1.Service) int32 {
	first := int32(defaultPort)
	for i, p := range service.Spec.Ports {
		if p.Port == defaultPort || strings.Contains(p.Name, "postgres") {
			return p.Port
		}
		if i == 0 {
			first = p.Port
		}
	}
	return first
}

// serverOfSecret knows the servers of operators by the labels of their Secrets.
func serverOfSecret(o Object) Server {
	s := Server{address: backupapi.SecretAddress(o.GetNamespace(), o.GetLabels())}
	if kind, name := backupapi.OperatedCluster(o.GetLabels()); kind != "" {
		s.serves, s.ports = kind+"/"+name, []int32{defaultPort}
		pods := map[string]string{backupapi.LabelCNPGCluster: name}
		if s.address != "" {
			pods = map[string]string{backupapi.LabelApplication: backupapi.ApplicationSpilo, backupapi.LabelZalandoCluster: name}
		}
		s.peers = peersLabelled(pods)
	}
	login := secretConnection(o.GetName(), s.address)
	s.login = &login
	return s
}

func peersLabelled(labels map[string]string) []networkingv1.NetworkPolicyPeer {
	return []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: labels}}}
}

func namespacePeer(namespace string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
	}
}

// secretConnection refers to every key that may describe a connection: only the kubelet
// knows which of them the Secret has. pg-backup derives the URL from their values.
func secretConnection(secret, address string) connection {
	yes := true
	env := []corev1.EnvVar{{Name: backupapi.EnvConnectionSecret, Value: secret}}
	if address != "" {
		env = append(env, corev1.EnvVar{Name: backupapi.EnvServerAddress, Value: address})
	}
	for _, key := range backupapi.ConnectionKeys() {
		env = append(env, corev1.EnvVar{Name: backupapi.SecretVariable(key), ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key, Optional: &yes,
		}}})
	}
	return connection{env: env}
}

// serves returns the operator's resource whose server a source backs up, as KIND/NAME,
// "" if none is known. A Secret says it with its labels; the names of operators' Secrets
// say it for a source that refers to one.
func (t Target) serves() string {
	if t.Server.serves != "" || t.Source.Kind == backupapi.KindStatefulSet {
		return t.Server.serves
	}
	secret := t.Request.URLSecret.Name
	for _, suffix := range []string{"-superuser", "-app"} {
		if cluster, ok := strings.CutSuffix(secret, suffix); ok {
			return "Cluster/" + cluster
		}
	}
	if name, ok := strings.CutSuffix(secret, ".credentials.postgresql.acid.zalan.do"); ok {
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			return "postgresql/" + name[i+1:]
		}
	}
	return ""
}

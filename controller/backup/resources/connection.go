package resources

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/validate"
)

// connection is how pg-backup reaches the database and logs in.
type connection struct {
	env     []corev1.EnvVar
	envFrom []corev1.EnvFromSource
	volumes []corev1.Volume
	mounts  []corev1.VolumeMount
}

// connectionOf returns the connection of the Secret that the request names, else the
// one that the source itself describes, else that of the default Secret.
func connectionOf(t Target) connection {
	secret := t.Request.URLSecret
	if secret == (backupapi.SecretKey{}) {
		if t.Server.login != nil {
			return *t.Server.login
		}
		secret = backupapi.DefaultURLSecret
	}
	if parts := secret.Parts(); parts != nil {
		return partsConnection(t.Server.address, secret.Name, parts)
	}
	return connection{env: []corev1.EnvVar{urlVariable(secret, false)}}
}

// checkConnection refuses a Secret that names no host for a source that names none.
func (t Target) checkConnection() []validate.Refusal {
	parts := t.Request.URLSecret.Parts()
	if !t.Request.Enabled || parts == nil || parts[backupapi.PartHost] != "" || t.Server.address != "" {
		return nil
	}
	problem := "it names no host, and neither does the Secret: add host=key"
	if t.Source.Kind == backupapi.KindStatefulSet {
		problem = "it names no host, and the StatefulSet has no serviceName: add host=key"
	}
	return []validate.Refusal{{Setting: backupapi.AnnotationURLSecret, Problem: problem}}
}

// partsConnection passes user and password of a Secret as the variables of an image,
// and its host and port, if it has them, in place of the source's.
func partsConnection(address, secret string, parts map[string]string) connection {
	host, port, _ := net.SplitHostPort(address)
	if host = escaped(host); strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" {
		port = strconv.Itoa(defaultPort)
	}
	var env []corev1.EnvVar
	variable := func(part, name string) (reference string) {
		env = append(env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: parts[part],
		}}})
		return "$(" + name + ")"
	}
	variable(backupapi.PartUser, backupapi.ServerEnvPrefix+"POSTGRES_USER")
	variable(backupapi.PartPassword, backupapi.ServerEnvPrefix+"POSTGRES_PASSWORD")
	if parts[backupapi.PartHost] != "" {
		host = variable(backupapi.PartHost, backupapi.ServerEnvPrefix+"HOST")
	}
	if parts[backupapi.PartPort] != "" {
		port = variable(backupapi.PartPort, backupapi.ServerEnvPrefix+"PORT")
	}
	return connection{env: append(env, corev1.EnvVar{Name: backupapi.EnvServerAddress, Value: host + ":" + port})}
}

func urlVariable(secret backupapi.SecretKey, optional bool) corev1.EnvVar {
	selector := &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret.Name}, Key: secret.Key}
	if optional {
		selector.Optional = &optional
	}
	return corev1.EnvVar{Name: backupapi.EnvDatabaseURL, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: selector}}
}

// derivesConnection reports whether the PostgreSQL container's environment can hold a
// password, and the StatefulSet has a Service.
func derivesConnection(set *appsv1.StatefulSet) bool {
	c := postgresContainer(set)
	return set.Spec.ServiceName != "" && (setsPassword(c) || readsSecret(c))
}

func setsPassword(c corev1.Container) bool {
	return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return backupapi.SetsPassword(e.Name) })
}

func readsSecret(c corev1.Container) bool {
	return slices.ContainsFunc(c.EnvFrom, func(s corev1.EnvFromSource) bool { return s.SecretRef != nil })
}

// derivedConnection passes the container's settings to pg-backup, which derives the
// URL from them: only the kubelet knows what is in a Secret. What comes from envFrom
// may hold no password, so the default Secret is a fallback there.
func derivedConnection(set *appsv1.StatefulSet) connection {
	c := postgresContainer(set)
	derived := connection{env: []corev1.EnvVar{{Name: backupapi.EnvServerAddress, Value: escaped(serverAddress(set, c))}}}
	if !setsPassword(c) {
		derived.env = append(derived.env, urlVariable(backupapi.DefaultURLSecret, true))
	}
	for _, from := range c.EnvFrom {
		from = *from.DeepCopy()
		from.Prefix = backupapi.ServerEnvPrefix + from.Prefix
		derived.envFrom = append(derived.envFrom, from)
	}
	for _, e := range neededEnv(c.Env) {
		derived.addFile(set, c, e)
		derived.env = append(derived.env, prefixed(e))
	}
	return derived
}

// serverAddress names the governing Service. With several replicas it names the first
// pod: all connections of a backup have to reach the same server.
func serverAddress(set *appsv1.StatefulSet, c corev1.Container) string {
	host := set.Spec.ServiceName + "." + set.Namespace + ".svc"
	if set.Spec.Replicas != nil && *set.Spec.Replicas > 1 {
		host = set.Name + "-0." + host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(serverPort(c))))
}

// serverPort returns the port by the variables of the images, else by the declared
// ports, else PostgreSQL's own.
func serverPort(c corev1.Container) int32 {
	for _, e := range c.Env {
		if e.Name == "PGPORT" || e.Name == "POSTGRESQL_PORT_NUMBER" {
			if port, err := strconv.ParseInt(e.Value, 10, 32); err == nil && port > 0 {
				return int32(port)
			}
		}
	}
	var declared []int32
	for _, p := range c.Ports {
		if p.ContainerPort == defaultPort || strings.Contains(p.Name, "postgres") {
			return p.ContainerPort
		}
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			declared = append(declared, p.ContainerPort)
		}
	}
	if len(declared) == 1 {
		return declared[0]
	}
	return defaultPort
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)`)

// neededEnv returns the variables that describe the login and those that their values
// refer to, in their order.
func neededEnv(env []corev1.EnvVar) (needed []corev1.EnvVar) {
	names := map[string]bool{}
	for _, name := range backupapi.ServerVariables() {
		names[name] = true
	}
	for i := len(env) - 1; i >= 0; i-- { // a value refers to variables before it
		if !names[env[i].Name] {
			continue
		}
		for _, match := range reference.FindAllStringSubmatch(env[i].Value, -1) {
			names[match[1]] = true
		}
		needed = append(needed, env[i])
	}
	slices.Reverse(needed)
	return needed
}

// prefixed renames a variable and the references in its value.
func prefixed(e corev1.EnvVar) corev1.EnvVar {
	e = *e.DeepCopy()
	e.Name = backupapi.ServerEnvPrefix + e.Name
	e.Value = reference.ReplaceAllString(e.Value, "$$("+backupapi.ServerEnvPrefix+"$1)")
	return e
}

// addFile mounts the file that a variable names, from the same Secret or ConfigMap and
// at the same path.
func (n *connection) addFile(set *appsv1.StatefulSet, c corev1.Container, e corev1.EnvVar) {
	if !strings.HasSuffix(e.Name, "_FILE") || !path.IsAbs(e.Value) {
		return
	}
	var best corev1.VolumeMount
	for _, m := range c.VolumeMounts {
		directory := path.Clean(m.MountPath)
		if (e.Value == directory || strings.HasPrefix(e.Value, directory+"/")) && len(directory) > len(path.Clean(best.MountPath)) {
			best = m
		}
	}
	if slices.ContainsFunc(n.mounts, func(m corev1.VolumeMount) bool { return m.MountPath == best.MountPath }) {
		return
	}
	for _, v := range set.Spec.Template.Spec.Volumes {
		if v.Name != best.Name || v.Secret == nil && v.ConfigMap == nil && v.Projected == nil && v.CSI == nil {
			continue
		}
		name := serverVolumePrefix + strconv.Itoa(len(n.volumes))
		n.volumes = append(n.volumes, corev1.Volume{Name: name, VolumeSource: *v.VolumeSource.DeepCopy()})
		n.mounts = append(n.mounts, corev1.VolumeMount{Name: name, MountPath: best.MountPath, SubPath: best.SubPath, ReadOnly: true})
	}
}

// serverVolumePrefix begins the names of volumes of the database's own pod.
const serverVolumePrefix = "server-"

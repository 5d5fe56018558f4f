package resources

import (
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/validate"
)

// Check refuses a request that cannot be fulfilled: of a source that plainly is not
// PostgreSQL, or whose connection names no host.
func (t Target) Check() []validate.Refusal {
	return append(t.checkEngine(), t.checkConnection()...)
}

// checkEngine refuses another database system. A client image says that its author
// knows better.
func (t Target) checkEngine() []validate.Refusal {
	engine := Engine(t.Server.pod)
	if !t.Request.Enabled || t.Request.ClientImage != "" || engine == "" || engine == backupapi.PostgreSQL {
		return nil
	}
	return []validate.Refusal{{Setting: backupapi.AnnotationEnabled, Problem: backupapi.NotPostgreSQL(engine)}}
}

// Engine returns the database system that a pod serves, "" if none is recognized.
func Engine(pod corev1.PodSpec) backupapi.Engine {
	return backupapi.DetectEngine(engineContainers(pod))
}

func engineContainers(pod corev1.PodSpec) (containers []backupapi.Container) {
	for _, c := range pod.Containers {
		container := backupapi.Container{Name: c.Name, Image: c.Image, Command: c.Command}
		for _, p := range c.Ports {
			if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
				container.Ports = append(container.Ports, int(p.ContainerPort))
			}
		}
		containers = append(containers, container)
	}
	return containers
}

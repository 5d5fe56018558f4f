package webhook

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/lint"
)

// Refused is the action of a review whose object is not admitted.
const Refused inject.Action = "refused"

// Reasons for refusing a StatefulSet, or for admitting it without a check.
const (
	BadBackup             inject.Reason = "bad-backup-annotation"
	UnreadableStatefulSet inject.Reason = "unreadable-statefulset"
)

// Backups returns the handler for reviews of StatefulSets with backup.nova.dev
// annotations. It refuses bad values and unknown keys, because a backup that
// silently does not run is worse than a failed apply. A mistake that the object
// had before, with the same value, is only a warning, so that it blocks no
// roll-out. defaults returns the request that annotations are read on top of.
func Backups(defaults func() backupapi.Request, references lint.References, metrics *Metrics) http.Handler {
	b := backups{defaults, references}
	return &handler{name: "backup", effect: "backup not checked", unreadable: UnreadableStatefulSet, answer: b.answer, metrics: metrics}
}

type backups struct {
	defaults   func() backupapi.Request
	references lint.References
}

// statefulSet has the fields of a StatefulSet that are read.
type statefulSet struct {
	Metadata struct {
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		ServiceName string `json:"serviceName"`
		Template    struct {
			Spec struct {
				Containers []struct {
					Env []struct {
						Name string `json:"name"`
					} `json:"env"`
					EnvFrom []struct {
						SecretRef *struct{} `json:"secretRef"`
					} `json:"envFrom"`
					Name    string   `json:"name"`
					Image   string   `json:"image"`
					Command []string `json:"command"`
					Ports   []struct {
						ContainerPort int    `json:"containerPort"`
						Protocol      string `json:"protocol"`
					} `json:"ports"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
		VolumeClaimTemplates []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Spec struct {
				Resources struct {
					Requests struct {
						Storage string `json:"storage"`
					} `json:"requests"`
				} `json:"resources"`
			} `json:"spec"`
		} `json:"volumeClaimTemplates"`
	} `json:"spec"`
}

func (s *statefulSet) volumeClaims() []lint.VolumeClaim {
	claims := make([]lint.VolumeClaim, 0, len(s.Spec.VolumeClaimTemplates))
	for _, c := range s.Spec.VolumeClaimTemplates {
		claims = append(claims, lint.VolumeClaim{Name: c.Metadata.Name, Storage: c.Spec.Resources.Requests.Storage})
	}
	return claims
}

func (s *statefulSet) containers() []backupapi.Container {
	containers := make([]backupapi.Container, 0, len(s.Spec.Template.Spec.Containers))
	for _, c := range s.Spec.Template.Spec.Containers {
		container := backupapi.Container{Name: c.Name, Image: c.Image, Command: c.Command}
		for _, p := range c.Ports {
			if p.Protocol == "TCP" || p.Protocol == "" {
				container.Ports = append(container.Ports, p.ContainerPort)
			}
		}
		containers = append(containers, container)
	}
	return containers
}

// describesLogin reports whether the controller can derive the connection from the
// StatefulSet itself.
func (s *statefulSet) describesLogin() bool {
	for _, c := range s.Spec.Template.Spec.Containers {
		for _, e := range c.Env {
			if backupapi.SetsPassword(e.Name) {
				return s.Spec.ServiceName != ""
			}
		}
		for _, from := range c.EnvFrom {
			if from.SecretRef != nil {
				return s.Spec.ServiceName != ""
			}
		}
	}
	return false
}

func (b backups) answer(ctx context.Context, req *request) (answer, error) {
	var object, oldObject statefulSet
	if err := json.Unmarshal(req.Object, &object); err != nil {
		return answer{}, fmt.Errorf("decode StatefulSet: %w", err)
	}
	_ = json.Unmarshal(req.OldObject, &oldObject) // empty at CREATE
	if object.Metadata.DeletionTimestamp != "" {
		return answer{action: Passed, reason: NoWarnings}, nil // removing a finalizer must always work
	}
	defaults := b.defaults()
	name, annotations, oldAnnotations := object.Metadata.Name, object.Metadata.Annotations, oldObject.Metadata.Annotations
	request, refusals := backupapi.ParseStatefulSet(defaults, req.Namespace, name, annotations)
	oldRequest, oldRefusals := backupapi.ParseStatefulSet(defaults, req.Namespace, oldObject.Metadata.Name, oldAnnotations)
	refused, warnings := separateNewRefusals(refusals, oldRefusals, annotations, oldAnnotations)
	if oldRequest.Enabled && !request.Enabled {
		warnings = append(warnings, "no more backups are made; existing backups stay in "+oldRequest.Location(req.Namespace, name))
	}
	if request.Enabled {
		warnings = append(warnings, lint.BackupEngine(request, object.containers())...)
		warnings = append(warnings, lint.Backup(request, object.volumeClaims())...)
	}
	if request.URLSecret == (backupapi.SecretKey{}) && !object.describesLogin() {
		request.URLSecret = backupapi.DefaultURLSecret
	}
	if request.Enabled && !equalRequests(annotations, oldAnnotations) {
		warnings = append(warnings, lint.BackupReferences(ctx, b.references, defaults, lint.StatefulSet{Namespace: req.Namespace, Name: name, Request: request})...)
	}
	for i := range warnings {
		warnings[i] = "novawire: " + warnings[i]
	}
	switch {
	case len(refused) > 0:
		return answer{response: response{refusal: strings.Join(refused, "; "), warnings: warnings}, action: Refused, reason: BadBackup}, nil
	case len(warnings) > 0:
		return answer{response: response{warnings: warnings}, action: Warned, reason: Warnings}, nil
	}
	return answer{action: Passed, reason: NoWarnings}, nil
}

// separateNewRefusals separates the mistakes that a change introduces, which are
// refused, from those that the old object had with the same value, which become
// warnings.
func separateNewRefusals(refusals, oldRefusals []validate.Refusal, annotations, oldAnnotations map[string]string) (refused, warnings []string) {
	for _, r := range refusals {
		if slices.Contains(oldRefusals, r) && annotations[r.Setting] == oldAnnotations[r.Setting] {
			warnings = append(warnings, r.Error())
		} else {
			refused = append(refused, r.Error())
		}
	}
	return refused, warnings
}

// equalRequests reports whether two objects request the same backup. It ignores the
// status, which the controller writes, and the trigger of a single run, which refers
// to no other object.
func equalRequests(annotations, oldAnnotations map[string]string) bool {
	return maps.Equal(requestKeys(annotations), requestKeys(oldAnnotations))
}

func requestKeys(annotations map[string]string) map[string]string {
	keys := map[string]string{}
	for key, value := range annotations {
		if strings.HasPrefix(key, backupapi.AnnotationPrefix) && key != backupapi.AnnotationStatus && key != backupapi.AnnotationRun {
			keys[key] = value
		}
	}
	return keys
}

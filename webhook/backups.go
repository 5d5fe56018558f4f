package webhook

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/lint"
)

// Refused is the action of a review whose object is not admitted.
const Refused inject.Action = "refused"

// Reasons for refusing an object that requests backups, or for admitting it without a
// check.
const (
	BadBackup             inject.Reason = "bad-backup-annotation"
	UnreadableStatefulSet inject.Reason = "unreadable-statefulset"
)

// Backups returns the handler for reviews of StatefulSets, Secrets and Services with
// backup.nova.dev annotations. It refuses bad values and unknown keys, because a backup that
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

// backupSource has the fields of a StatefulSet, Secret or Service that are read.
type backupSource struct {
	Metadata struct {
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	// Data is that of a Secret. Only its keys are read, and the value of one that is no
	// secret: the database system.
	Data map[string]jsontext.Value `json:"data"`
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

func (s *backupSource) volumeClaims() []lint.VolumeClaim {
	claims := make([]lint.VolumeClaim, 0, len(s.Spec.VolumeClaimTemplates))
	for _, c := range s.Spec.VolumeClaimTemplates {
		claims = append(claims, lint.VolumeClaim{Name: c.Metadata.Name, Storage: c.Spec.Resources.Requests.Storage})
	}
	return claims
}

func (s *backupSource) containers() []backupapi.Container {
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
func (s *backupSource) describesLogin() bool {
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

// checkSecret says what a Secret lacks to describe a connection. One of another database
// system is refused.
func (s *backupSource) checkSecret(source backupapi.Source, r backupapi.Request) (warnings []string, refusals []validate.Refusal) {
	if source.Kind != backupapi.KindSecret || !r.Enabled || r.URLSecret != (backupapi.SecretKey{}) {
		return nil, nil
	}
	if err := backupapi.CheckSecretEngine(s.value(backupapi.EngineKey)); err != nil {
		refusals = append(refusals, validate.Refusal{Setting: backupapi.AnnotationEnabled, Problem: err.Error()})
	}
	known := backupapi.SecretAddress(source.Namespace, s.Metadata.Labels) != ""
	if err := backupapi.CheckSecretKeys(slices.Sorted(maps.Keys(s.Data)), known); err != nil {
		warnings = append(warnings, backupapi.AnnotationEnabled+": every run will fail: "+err.Error())
	}
	return warnings, refusals
}

// value returns the value of a key of the Secret.
func (s *backupSource) value(key string) string {
	var value []byte // base64
	if json.Unmarshal(s.Data[key], &value) != nil {
		return ""
	}
	return string(value)
}

func (b backups) answer(ctx context.Context, req *request) (answer, error) {
	kind := backupapi.Kind(req.Kind.Kind)
	if kind == "" {
		kind = backupapi.KindStatefulSet
	}
	var object, oldObject backupSource
	if err := json.Unmarshal(req.Object, &object); err != nil {
		return answer{}, fmt.Errorf("decode %s: %w", kind, err)
	}
	_ = json.Unmarshal(req.OldObject, &oldObject) // empty at CREATE
	if object.Metadata.DeletionTimestamp != "" {
		return answer{action: Passed, reason: NoWarnings}, nil // removing a finalizer must always work
	}
	defaults := b.defaults()
	source := backupapi.Source{Kind: kind, Namespace: req.Namespace, Name: object.Metadata.Name}
	annotations, oldAnnotations := object.Metadata.Annotations, oldObject.Metadata.Annotations
	request, refusals := backupapi.ParseSource(defaults, source, annotations)
	oldRequest, oldRefusals := backupapi.ParseSource(defaults, source, oldAnnotations)
	lacks, wrong := object.checkSecret(source, request)
	_, oldWrong := oldObject.checkSecret(source, oldRequest)
	refusals, oldRefusals = append(refusals, wrong...), append(oldRefusals, oldWrong...)
	refused, warnings := separateNewRefusals(refusals, oldRefusals, annotations, oldAnnotations)
	if oldRequest.Enabled && !request.Enabled {
		warnings = append(warnings, "no more backups are made; existing backups stay in "+oldRequest.Location(source))
	}
	warnings = append(warnings, lacks...)
	if request.Enabled {
		warnings = append(warnings, lint.BackupEngine(request, object.containers())...)
		warnings = append(warnings, lint.Backup(request, object.volumeClaims())...)
	}
	if source.Kind == backupapi.KindStatefulSet && request.URLSecret == (backupapi.SecretKey{}) && !object.describesLogin() {
		request.URLSecret = backupapi.DefaultURLSecret
	}
	if request.Enabled && !equalRequests(annotations, oldAnnotations) {
		warnings = append(warnings, lint.BackupReferences(ctx, b.references, defaults, source, request)...)
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

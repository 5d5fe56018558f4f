package webhook

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/webhook/inject"
)

// Refused is the action of a review whose object was not admitted.
const Refused inject.Action = "refused"

// Why a StatefulSet was refused, or could not be looked at.
const (
	BadBackup             inject.Reason = "bad-backup-annotation"
	UnreadableStatefulSet inject.Reason = "unreadable-statefulset"
)

// Backups serves the reviews of StatefulSets that have a backup.nova.dev
// annotation. A bad value and an unknown key are refused, because a backup that
// silently does not run is worse than a failed apply; what was there before is
// warned about and no more, so that an old mistake holds up no roll-out. The
// defaults are those of the configuration in force.
func Backups(defaults func() backupapi.Request, referents Referents, metrics *Metrics) http.Handler {
	b := backups{defaults, referents}
	return &handler{name: "backup", undone: "backup not checked", unreadable: UnreadableStatefulSet, answer: b.answer, Metrics: metrics}
}

type backups struct {
	defaults  func() backupapi.Request
	referents Referents
}

// statefulSet is what is read of one.
type statefulSet struct {
	Metadata struct {
		Namespace         string            `json:"namespace"`
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
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

func (b backups) answer(ctx context.Context, req *request) (answer, error) {
	var now, before statefulSet
	if err := json.Unmarshal(req.Object, &now); err != nil {
		return answer{}, fmt.Errorf("read StatefulSet: %w", err)
	}
	_ = json.Unmarshal(req.OldObject, &before) // none, or the API server's own
	if now.Metadata.DeletionTimestamp != "" {
		return answer{action: Silent, reason: NothingToDo}, nil // finalizers go, whatever the annotations say
	}
	now.Metadata.Namespace, before.Metadata.Namespace = req.Namespace, req.Namespace
	defaults := b.defaults()
	asked, refusals := judge(defaults, &now)
	askedBefore, known := judge(defaults, &before)
	refused, lines := ratchet(refusals, known, now.Metadata.Annotations, before.Metadata.Annotations)
	if askedBefore.Enabled && !asked.Enabled {
		lines = append(lines, "no backup is made from now on; those that were made stay in "+askedBefore.Location(req.Namespace, now.Metadata.Name))
	}
	if asked.Enabled {
		lines = append(lines, doubts(asked, &now)...)
	}
	if asked.Enabled && !sameKeys(now.Metadata.Annotations, before.Metadata.Annotations) {
		lines = append(lines, b.absent(ctx, defaults, asked, &now)...)
	}
	for i := range lines {
		lines[i] = "novawire: " + lines[i]
	}
	switch {
	case len(refused) > 0:
		return answer{response: response{refusal: strings.Join(refused, "; "), warnings: lines}, action: Refused, reason: BadBackup}, nil
	case len(lines) > 0:
		return answer{response: response{warnings: lines}, action: Warned, reason: Warnings}, nil
	}
	return answer{action: Silent, reason: NothingToDo}, nil
}

// ratchet parts what is wrong into what the change brings along, which is
// refused, and what was wrong before with the same value, which is told.
func ratchet(refusals, known []validate.Refusal, now, before map[string]string) (refused, told []string) {
	for _, r := range refusals {
		if slices.Contains(known, r) && now[r.Setting] == before[r.Setting] {
			told = append(told, r.Error())
		} else {
			refused = append(refused, r.Error())
		}
	}
	return refused, told
}

// judge reads what a StatefulSet asks for, and what of it cannot be done.
func judge(defaults backupapi.Request, s *statefulSet) (backupapi.Request, []validate.Refusal) {
	return backupapi.ParseStatefulSet(defaults, s.Metadata.Namespace, s.Metadata.Name, s.Metadata.Annotations)
}

// sameKeys tells whether two objects ask the same of backup. The status, which
// the controller writes, is no question, and a run now is none about what it needs.
func sameKeys(now, before map[string]string) bool {
	asks := func(annotations map[string]string) map[string]string {
		keys := map[string]string{}
		for key, value := range annotations {
			if strings.HasPrefix(key, backupapi.AnnotationPrefix) && key != backupapi.AnnotationStatus && key != backupapi.AnnotationRun {
				keys[key] = value
			}
		}
		return keys
	}
	return maps.Equal(asks(now), asks(before))
}

// referentTimeout bounds the look for what a request refers to; a warning is
// not worth holding up an apply for longer.
const referentTimeout = 500 * time.Millisecond

// absent tells what a request refers to that is not there, or is another's.
func (b backups) absent(ctx context.Context, defaults, asked backupapi.Request, s *statefulSet) (lines []string) {
	ctx, cancel := context.WithTimeout(ctx, referentTimeout)
	defer cancel()
	namespace := s.Metadata.Namespace
	for _, secret := range []struct{ key, name string }{
		{backupapi.AnnotationURLSecret, asked.URLSecret.Name},
		{backupapi.AnnotationAWSSecret, asked.AWSSecret},
		{backupapi.AnnotationEncryptionRecipients, asked.EncryptionRecipients.Name},
		{backupapi.AnnotationEncryptionIdentity, asked.EncryptionIdentity.Name},
	} {
		if secret.name == "" {
			continue
		}
		if there, err := b.referents.HasSecret(ctx, namespace, secret.name); err == nil && !there {
			lines = append(lines, fmt.Sprintf("%s: there is no Secret %s in namespace %s: no run starts before there is one", secret.key, secret.name, namespace))
		}
	}
	if account := asked.ServiceAccount; account != "" {
		if there, err := b.referents.HasServiceAccount(ctx, namespace, account); err == nil && !there {
			lines = append(lines, fmt.Sprintf("%s: there is no ServiceAccount %s in namespace %s: no run starts before there is one",
				backupapi.AnnotationServiceAccount, account, namespace))
		}
	}
	return append(lines, b.sharedPlace(ctx, defaults, asked, s)...)
}

// sharedPlace tells of another StatefulSet whose backups are kept in the same
// place: there, the one prunes and lists what is the other's.
func (b backups) sharedPlace(ctx context.Context, defaults, asked backupapi.Request, s *statefulSet) []string {
	place := strings.TrimRight(asked.Location(s.Metadata.Namespace, s.Metadata.Name), "/")
	others, err := b.referents.StatefulSets(ctx)
	if err != nil || place == "" {
		return nil
	}
	for _, other := range others {
		if other.Namespace == s.Metadata.Namespace && other.Name == s.Metadata.Name || !backupapi.HasKeys(other.Annotations) {
			continue
		}
		request, _ := backupapi.ParseRequest(defaults, other.Annotations)
		if request.Enabled && request.S3Endpoint == asked.S3Endpoint && strings.TrimRight(request.Location(other.Namespace, other.Name), "/") == place {
			return []string{fmt.Sprintf("%s: StatefulSet %s in namespace %s keeps its backups in %s too: give each a prefix of its own",
				backupapi.AnnotationBucket, other.Name, other.Namespace, place)}
		}
	}
	return nil
}

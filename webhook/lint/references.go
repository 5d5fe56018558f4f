package lint

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// References looks up the objects that a backup request refers to. An error, for
// example because a permission is missing, means that nothing is known about the
// object; it causes no warning.
type References interface {
	HasSecret(ctx context.Context, namespace, name string) (bool, error)
	HasServiceAccount(ctx context.Context, namespace, name string) (bool, error)
	StatefulSets(ctx context.Context) ([]metav1.PartialObjectMetadata, error)
	NamespaceLabels(ctx context.Context, namespace string) (map[string]string, error)
	// SecretsWatched reports whether the controller has the right to see annotated
	// Secrets.
	SecretsWatched(ctx context.Context) (bool, error)
}

// referencesTimeout bounds the look-ups of one review, which run at the same time: a
// warning must not delay an apply for longer.
const referencesTimeout = time.Second

// BackupReferences returns a warning for each object that a backup request refers to
// and that does not exist, and for another StatefulSet that uses the same location.
// It reads the requests of other StatefulSets on top of defaults.
func BackupReferences(ctx context.Context, references References, defaults backupapi.Request, s backupapi.Source, r backupapi.Request) []string {
	ctx, cancel := context.WithTimeout(ctx, referencesTimeout)
	defer cancel()
	lookups := []func() string{
		func() string { return disabledNamespace(ctx, references, s.Namespace) },
		func() string { return unwatchedSecret(ctx, references, s) },
	}
	for _, secret := range []struct{ key, name string }{
		{backupapi.AnnotationURLSecret, r.URLSecret.Name},
		{backupapi.AnnotationAWSSecret, r.AWSSecret},
		{backupapi.AnnotationEncryptionRecipients, r.EncryptionRecipients.Name},
		{backupapi.AnnotationEncryptionIdentity, r.EncryptionIdentity.Name},
		{backupapi.AnnotationCopyAWSSecret, r.CopyAWSSecret},
		{backupapi.AnnotationSigningKey, r.SigningKey.Name},
		{backupapi.AnnotationEvidenceKey, r.EvidenceKey.Name},
		{backupapi.AnnotationVerifyKey, r.VerifyKey.Name},
	} {
		lookups = append(lookups, func() string {
			return missing(ctx, references.HasSecret, secret.key, "Secret", secret.name, s.Namespace)
		})
	}
	lookups = append(lookups,
		func() string {
			return missing(ctx, references.HasServiceAccount, backupapi.AnnotationServiceAccount, "ServiceAccount", r.ServiceAccount, s.Namespace)
		},
		func() string { return sharedLocation(ctx, references, defaults, s, r) },
	)
	// One after the other, a slow API server would let the timeout hide the warnings
	// of the last look-ups.
	warnings := make([]string, len(lookups))
	var group errgroup.Group
	for i, lookup := range lookups {
		group.Go(func() error {
			warnings[i] = lookup()
			return nil
		})
	}
	_ = group.Wait() // no look-up returns an error
	return slices.DeleteFunc(warnings, func(w string) bool { return w == "" })
}

// disabledNamespace returns a warning if the namespace refuses backup.
func disabledNamespace(ctx context.Context, references References, namespace string) string {
	labels, err := references.NamespaceLabels(ctx, namespace)
	if err != nil || labels[backupapi.LabelNamespace] != backupapi.NamespaceDisabled {
		return ""
	}
	return fmt.Sprintf("%s: no backup runs: namespace %s is labelled %s: %s",
		backupapi.AnnotationEnabled, namespace, backupapi.LabelNamespace, backupapi.NamespaceDisabled)
}

// unwatchedSecret returns a warning if the controller cannot see the annotated Secret.
func unwatchedSecret(ctx context.Context, references References, s backupapi.Source) string {
	if s.Kind != backupapi.KindSecret {
		return ""
	}
	if watched, err := references.SecretsWatched(ctx); err != nil || watched {
		return ""
	}
	return backupapi.AnnotationEnabled + ": no backup is scheduled: " + backupapi.SecretsNotWatched
}

// missing returns a warning if key names an object that does not exist.
func missing(ctx context.Context, exists func(ctx context.Context, namespace, name string) (bool, error), key, kind, name, namespace string) string {
	if name == "" {
		return ""
	}
	if found, err := exists(ctx, namespace, name); err != nil || found {
		return ""
	}
	return fmt.Sprintf("%s: %s %s does not exist in namespace %s: no run starts until it is created", key, kind, name, namespace)
}

// sharedLocation returns a warning if another StatefulSet keeps its backups in the
// same location, where each would list and prune the other's.
func sharedLocation(ctx context.Context, references References, defaults backupapi.Request, s backupapi.Source, r backupapi.Request) string {
	location := strings.TrimRight(r.Location(s), "/")
	others, err := references.StatefulSets(ctx)
	if err != nil || location == "" {
		return ""
	}
	for _, other := range others {
		if backupapi.StatefulSet(other.Namespace, other.Name) == s || !backupapi.HasKeys(other.Annotations) {
			continue
		}
		request, _ := backupapi.ParseRequest(defaults, other.Annotations)
		if request.Enabled && request.S3Endpoint == r.S3Endpoint && strings.TrimRight(request.Location(backupapi.StatefulSet(other.Namespace, other.Name)), "/") == location {
			return fmt.Sprintf("%s: StatefulSet %s in namespace %s also keeps its backups in %s: give each its own prefix",
				backupapi.AnnotationBucket, other.Name, other.Namespace, location)
		}
	}
	return ""
}

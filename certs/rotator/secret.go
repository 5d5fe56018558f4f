package rotator

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
)

// authoritiesKey is the only entry of the Secret.
const authoritiesKey = "authorities.json"

// stored is the content of the Secret.
type stored struct {
	secret      *corev1.Secret // nil if it does not exist
	authorities certs.Authorities
	damaged     bool   // part of it could not be read and has to be replaced
	problem     string // why it is damaged
}

// load reads the Secret from the API server, never from a cache. A damaged Secret is
// not an error: the certificates are found in the bundles again.
func (r *Rotator) load(ctx context.Context) (stored, error) {
	var secret corev1.Secret
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Secret}, &secret)
	if apierrors.IsNotFound(err) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("read Secret %s: %w", r.Secret, err)
	}
	s := stored{secret: &secret}
	if s.authorities, err = certs.Decode(secret.Data[authoritiesKey]); err != nil {
		r.Metrics.SetLastError(r.clock.now())
		s.damaged, s.problem = true, err.Error()
	}
	return s, nil
}

// save replaces the Secret that was read. It fails with a conflict if the Secret has
// changed since.
func (r *Rotator) save(ctx context.Context, old stored, authorities certs.Authorities) error {
	text, err := authorities.Encode()
	if err != nil {
		return err
	}
	secret, write := old.secret, r.update
	if secret == nil {
		secret, write = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Secret}}, r.create
	}
	secret.Data = map[string][]byte{authoritiesKey: text}
	if err := write(ctx, secret); err != nil {
		return fmt.Errorf("write Secret %s: %w", r.Secret, err)
	}
	switch {
	case old.damaged:
		r.Warn(ctx, SecretDamaged, fmt.Sprintf("Secret %s was damaged (%s) and was replaced: a new authority signs, and the former one is trusted until its leaves have expired", r.Secret, old.problem))
	case old.secret == nil && r.leaf.Load() != nil: // not the first start
		r.Warn(ctx, SecretDeleted, fmt.Sprintf("Secret %s was deleted and was created again: a new authority signs, and the former one is trusted until its leaves have expired", r.Secret))
	}
	return nil
}

func (r *Rotator) create(ctx context.Context, secret *corev1.Secret) error {
	return r.client.Create(ctx, secret, fieldOwner)
}

// update sends the resourceVersion that was read. The API server refuses it if
// another replica has written the Secret since.
func (r *Rotator) update(ctx context.Context, secret *corev1.Secret) error {
	return r.client.Update(ctx, secret, fieldOwner)
}

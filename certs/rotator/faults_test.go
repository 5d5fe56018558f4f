package rotator_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/certs/rotator"
)

// secretFaults damage the Secret while replicas serve.
var secretFaults = map[string]func(*environment) error{
	"a deleted Secret": func(b *environment) error {
		return b.client.Delete(b.Context(), &corev1.Secret{ObjectMeta: b.secretMeta()})
	},
	"a Secret of garbage": func(b *environment) error { return b.overwrite(`{"data":{"authorities.json":"Z2FyYmFnZQ=="}}`) },
	"an emptied Secret":   func(b *environment) error { return b.overwrite(`{"data":{"authorities.json":null}}`) },
	"a Secret with somebody else's key": func(b *environment) error {
		authorities := b.authorities()
		stranger, err := certs.NewAuthority("stranger", time.Now(), shortPolicy, rand.Reader)
		if err != nil {
			return err
		}
		authorities[0].Key = stranger.Key
		return b.store(authorities)
	},
}

func TestRotator_LostSecret(t *testing.T) {
	for fault, happens := range secretFaults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := newEnvironment(t)
			b.mutating("", "one.nova.dev", "two.nova.dev")
			warnings := make(chan string, 100)
			settings := b.settings(longerPolicy)
			settings.Warn = func(_ context.Context, reason, message string) { warnings <- reason + ": " + message }
			first, _ := b.start(settings)
			second, _ := b.start(settings)
			b.ready(first)
			b.ready(second)
			b.always("the first replica is trusted", func() error { return b.trusted(first) })
			b.always("the second replica is trusted", func() error { return b.trusted(second) })
			old := b.authorities()[0].Certificate
			if err := happens(b); err != nil {
				t.Fatal(err)
			}
			b.eventually("a new authority signs and the old one has left", func() error {
				bundles, err := b.bundles()
				if err != nil || bundles[0].Contains(old) || bundles[1].Contains(old) {
					return errors.Join(err, errors.New("the old one is trusted"))
				}
				return nil
			})
			want := rotator.SecretDamaged + ": Secret " + secretName
			if fault == "a deleted Secret" {
				want = rotator.SecretDeleted + ": Secret " + secretName
			}
			select {
			case got := <-warnings:
				if !strings.HasPrefix(got, want) {
					t.Errorf("the first warning is %q, want %q", got, want)
				}
			default:
				t.Error("nobody was warned")
			}
			if authorities := b.authorities(); len(authorities) == 0 || authorities[len(authorities)-1].Key == nil {
				t.Error("the Secret was not made whole")
			}
		})
	}
}

func TestRotator_OverwrittenBundle(t *testing.T) {
	for content, bundle := range map[string][]byte{
		"nothing":           nil,
		"a placeholder":     []byte("\n"),
		"what is no PEM":    []byte("not a certificate"),
		"another authority": unknownAuthority(t).PEM(),
	} {
		t.Run("with "+content, func(t *testing.T) {
			t.Parallel()
			b := newEnvironment(t)
			m := b.mutating("", "one.nova.dev", "two.nova.dev")
			settings := b.settings(certs.DefaultPolicy())
			settings.Interval = time.Hour // the watch alone
			r, _ := b.start(settings)
			b.ready(r)
			var live admissionv1.MutatingWebhookConfiguration
			if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(m), &live); err != nil {
				t.Fatal(err)
			}
			live.Webhooks[1].ClientConfig.CABundle = bundle
			if err := b.client.Update(t.Context(), &live, client.FieldOwner("gitops")); err != nil {
				t.Fatal(err)
			}
			b.eventually("both bundles trust the leaf", func() error { return b.trusted(r) })
		})
	}
}

// A foreign authority in one caBundle is not trusted anywhere else, and not there any more.
func TestRotator_ForeignAuthority(t *testing.T) {
	b := newEnvironment(t)
	mutating := b.mutating("", "one.nova.dev")
	b.mutating("other", "two.nova.dev")
	warnings := make(chan string, 100)
	settings := b.settings(certs.DefaultPolicy())
	settings.Warn = func(_ context.Context, reason, message string) { warnings <- reason + ": " + message }
	r, _ := b.start(settings)
	b.ready(r)
	b.eventually("both trust the leaf", func() error { return b.trusted(r) })
	foreign := unknownAuthority(t)
	var live admissionv1.MutatingWebhookConfiguration
	if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(mutating), &live); err != nil {
		t.Fatal(err)
	}
	live.Webhooks[0].ClientConfig.CABundle = append(live.Webhooks[0].ClientConfig.CABundle, foreign.PEM()...)
	if err := b.client.Update(t.Context(), &live, client.FieldOwner("somebody")); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-warnings:
		if !strings.HasPrefix(got, rotator.ForeignAuthority) || !strings.Contains(got, mutating.Name) || !strings.Contains(got, foreign[0].Subject.CommonName) {
			t.Errorf("warned of %q", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("nobody was warned")
	}
	bundles, err := b.bundles()
	if err != nil {
		t.Fatal(err)
	}
	for _, bundle := range bundles {
		if bundle.Contains(foreign[0]) {
			t.Error("the foreign authority is trusted")
		}
	}
	if n := len(b.authorities()); n != 1 {
		t.Errorf("the Secret has %d authorities", n)
	}
}

func TestRotator_Clock(t *testing.T) {
	// A local clock that is wrong says nothing about what the API server accepts.
	t.Run("a clock that jumps changes nothing", func(t *testing.T) {
		const years = 10 * 365 * 24 * time.Hour
		for name, jump := range map[string]time.Duration{"ahead": years, "back": -years, "by an hour": time.Hour} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := newEnvironment(t)
				b.mutating("", "one.nova.dev")
				wrong := &fakeClock{}
				settings := b.settings(certs.DefaultPolicy())
				settings.Now = wrong.now
				jumping, _ := b.start(settings)
				sane, _ := b.start(b.settings(certs.DefaultPolicy()))
				b.ready(jumping)
				b.ready(sane)
				b.always("the sane replica is trusted", func() error { return b.trusted(sane) })
				b.always("the jumping replica is trusted", func() error { return b.trusted(jumping) })
				wrong.set(jump)
				b.eventually("the jumping replica knows the time again", func() error { return jumping.Ready(nil) })
				wrong.set(0)
				b.eventually("and once more", func() error { return jumping.Ready(nil) })
				if n := len(b.authorities()); n != 1 {
					t.Errorf("%d authorities", n)
				}
			})
		}
	})

	t.Run("a replica that starts with a wrong clock is trusted", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("", "one.nova.dev")
		settings := b.settings(certs.DefaultPolicy())
		settings.Now = func() time.Time { return time.Now().AddDate(-3, 0, 0) }
		r, _ := b.start(settings)
		b.ready(r)
		if err := b.trusted(r); err != nil {
			t.Error(err)
		}
	})

	// The rotator that made the leaf is stopped, as a paused process is; nothing but
	// the handshake can notice that the leaf has expired.
	t.Run("a process that was paused serves a fresh leaf", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("", "one.nova.dev")
		awake, _ := b.start(b.settings(shortPolicy))
		paused, pause := b.start(b.settings(shortPolicy))
		b.ready(awake)
		b.ready(paused)
		pause()
		b.eventually("the leaf of the paused process expires", func() error {
			if paused.Ready(nil) == nil {
				return errors.New("it is valid")
			}
			return nil
		})
		if err := b.trusted(paused); err != nil {
			t.Error(err)
		}
	})

	// One replica is stopped for a week of the cluster's time; the other one rotates.
	t.Run("a replica that comes back after a week is trusted", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("", "one.nova.dev")
		calendar := &fakeClock{}
		b.config.Wrap(calendar.dates)
		settings := b.settings(certs.Policy{Authority: 72 * time.Hour, Leaf: 20 * time.Hour, Settle: time.Second, Skew: time.Minute})
		settings.Now = calendar.now
		stays, _ := b.start(settings)
		leaves, stop := b.start(settings)
		b.ready(stays)
		b.ready(leaves)
		stop()
		first := b.authorities()[0].Certificate
		for hour := range 7 * 24 {
			calendar.set(time.Duration(hour) * time.Hour)
			b.eventually("the replica that stays is trusted", func() error { return b.trustedAt(stays, calendar.now) })
			b.eventually("and has renewed", func() error {
				leaf, err := servedLeaf(b, stays, calendar.now)
				if err == nil && certs.RenewalDue(leaf, calendar.now()) {
					err = errors.New("the leaf is due")
				}
				return err
			})
		}
		if b.authorities().Trusted(calendar.now(), settings.Policy).Contains(first) {
			t.Error("the first authority is still trusted: nothing rotated")
		}
		if err := b.trustedAt(leaves, calendar.now); err != nil {
			t.Error("at the first handshake:", err)
		}
		back, _ := b.start(settings)
		b.ready(back)
		if err := b.trustedAt(back, calendar.now); err != nil {
			t.Error("started again:", err)
		}
	})
}

func TestRotator_NoLeafBeforeLostAuthorityIsReplaced(t *testing.T) {
	t.Parallel()
	b := newEnvironment(t)
	b.mutating("", "one.nova.dev")
	_, stop := b.start(b.settings(longerPolicy))
	b.eventually("the authority is published", func() error {
		bundles, err := b.bundles()
		if err == nil && len(bundles[0]) == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	stop()
	if err := b.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: b.secretMeta()}); err != nil {
		t.Fatal(err)
	}
	r, _ := b.start(b.settings(longerPolicy))
	var seen time.Time
	b.eventually("the new authority was seen", func() error {
		secret, err := b.secret()
		if err != nil {
			return err
		}
		authorities, _ := certs.Decode(secret.Data["authorities.json"])
		for _, a := range authorities {
			if !a.SignsFrom.IsZero() {
				seen = a.SignsFrom
				return nil
			}
		}
		return errors.New("none signs")
	})
	b.ready(r)
	leaf, err := servedLeaf(b, r, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if signed := leaf.NotBefore.Add(longerPolicy.Skew); signed.Before(seen.Add(-time.Second)) { // whole seconds
		t.Errorf("signed at %v, allowed from %v", signed, seen)
	}
}

func servedLeaf(b *environment, r *rotator.Rotator, now func() time.Time) (*x509.Certificate, error) {
	bundles, err := b.bundles()
	if err != nil {
		return nil, err
	}
	return handshake(r, bundles[0], b.serverName(), now)
}

func unknownAuthority(t *testing.T) certs.Bundle {
	t.Helper()
	a, err := certs.NewAuthority("stranger", time.Now(), shortPolicy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certs.Bundle{a.Certificate}
}

func (b *environment) secretMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: b.namespace, Name: secretName}
}

func (b *environment) overwrite(patch string) error {
	return b.client.Patch(b.Context(), &corev1.Secret{ObjectMeta: b.secretMeta()}, client.RawPatch(types.MergePatchType, []byte(patch)))
}

func (b *environment) store(authorities certs.Authorities) error {
	text, err := authorities.Encode()
	if err != nil {
		return err
	}
	secret, err := b.secret()
	if err != nil {
		return err
	}
	secret.Data["authorities.json"] = text
	return b.client.Update(context.Background(), secret)
}

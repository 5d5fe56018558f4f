// Package expiry exports metrics of serving certificates: the validity of the leaf
// and of its authority, the number of rotations, and the time of the last error. It
// does not depend on who issues the certificates.
package expiry

import (
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics holds the certificate metrics. It is safe for concurrent use.
type Metrics struct {
	notBefore, notAfter *prometheus.GaugeVec
	rotations           *prometheus.CounterVec
	lastError           prometheus.Gauge
}

const (
	leaf      = "leaf"
	authority = "ca"
)

// New creates the metrics and registers them.
func New(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		notBefore: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_certificate_not_before_timestamp_seconds",
			Help: "Time when the serving certificate (leaf) and the authority that signed it (ca) became valid, in Unix time.",
		}, []string{"kind"}),
		notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_certificate_expiry_timestamp_seconds",
			Help: "Time when the serving certificate (leaf) and the authority that signed it (ca) expire, in Unix time.",
		}, []string{"kind"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "novawire_certificate_rotations_total",
			Help: "Number of rotation steps: issued or loaded for leaves; created, published, found or removed for authorities.",
		}, []string{"step"}),
		lastError: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "novawire_certificate_last_error_timestamp_seconds",
			Help: "Time of the last rotation error, in Unix time; 0 if there was none.",
		}),
	}
	registerer.MustRegister(m.notBefore, m.notAfter, m.rotations, m.lastError)
	return m
}

// SetLeaf records the certificate that is served.
func (m *Metrics) SetLeaf(certificate *x509.Certificate) { m.setValidity(leaf, certificate) }

// SetAuthority records the authority that signed the served certificate.
func (m *Metrics) SetAuthority(certificate *x509.Certificate) { m.setValidity(authority, certificate) }

// CountRotation counts a rotation step.
func (m *Metrics) CountRotation(step string) { m.rotations.WithLabelValues(step).Inc() }

// SetLastError records the time of an error.
func (m *Metrics) SetLastError(now time.Time) { m.lastError.Set(float64(now.Unix())) }

func (m *Metrics) setValidity(kind string, certificate *x509.Certificate) {
	m.notBefore.WithLabelValues(kind).Set(float64(certificate.NotBefore.Unix()))
	m.notAfter.WithLabelValues(kind).Set(float64(certificate.NotAfter.Unix()))
}

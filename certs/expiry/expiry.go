// Package expiry counts what becomes of serving certificates, whoever issues
// them: how long the leaf and its authority are valid, how often they were
// replaced, and when that last went wrong.
package expiry

import (
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is safe for concurrent use.
type Metrics struct {
	notBefore, notAfter *prometheus.GaugeVec
	rotations           *prometheus.CounterVec
	lastError           prometheus.Gauge
}

const (
	leaf      = "leaf"
	authority = "ca"
)

// New registers the metrics.
func New(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		notBefore: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_certificate_not_before_timestamp_seconds",
			Help: "When the serving certificate (leaf) and the authority that signed it (ca) became valid, in Unix time.",
		}, []string{"kind"}),
		notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_certificate_expiry_timestamp_seconds",
			Help: "When the serving certificate (leaf) and the authority that signed it (ca) expire, in Unix time.",
		}, []string{"kind"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "novawire_certificate_rotations_total",
			Help: "Steps in the life of certificates: a leaf issued; an authority minted, seen, found, left.",
		}, []string{"step"}),
		lastError: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "novawire_certificate_last_error_timestamp_seconds",
			Help: "When rotation last went wrong, in Unix time; 0 for never.",
		}),
	}
	registerer.MustRegister(m.notBefore, m.notAfter, m.rotations, m.lastError)
	return m
}

// Serves tells which certificate is served.
func (m *Metrics) Serves(certificate *x509.Certificate) { m.valid(leaf, certificate) }

// Signs tells which authority signed it.
func (m *Metrics) Signs(certificate *x509.Certificate) { m.valid(authority, certificate) }

// Rotated counts a step.
func (m *Metrics) Rotated(step string) { m.rotations.WithLabelValues(step).Inc() }

// Failed notes when something went wrong.
func (m *Metrics) Failed(now time.Time) { m.lastError.Set(float64(now.Unix())) }

func (m *Metrics) valid(kind string, certificate *x509.Certificate) {
	m.notBefore.WithLabelValues(kind).Set(float64(certificate.NotBefore.Unix()))
	m.notAfter.WithLabelValues(kind).Set(float64(certificate.NotAfter.Unix()))
}

// Package sidecar is the collector that runs in every wired pod: a distribution of the
// OpenTelemetry Collector with a handful of components and one built-in topology. It
// receives OTLP on loopback, counts every item and sends it to one backend. It exports
// nothing that the application did not send, and it does not exit by itself: what it
// cannot deliver it counts.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	awscredentials "github.com/nova/novawire/internal/aws/credentials"
	"github.com/nova/novawire/internal/version"
	otlpexporter "github.com/nova/novawire/sidecar/exporter"
	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/processor/resource"
	"github.com/nova/novawire/sidecar/processor/spanmetrics"
	otlpreceiver "github.com/nova/novawire/sidecar/receiver"
	"github.com/nova/novawire/sidecar/telemetry"
)

// Run runs the sidecar until ctx ends, and then prints its ledger to out and to the
// termination file. It does not exit when the collector cannot start: the kubelet would
// restart the container again and again. The error is logged, and Run waits for ctx.
func Run(ctx context.Context, lookup func(name string) (string, bool), out io.Writer) error {
	settings, refusals := sidecarapi.ParseSettings(lookup)
	log := newLogger(out)
	for _, r := range refusals {
		log.Warn("setting is ignored", zap.String("setting", r.Setting), zap.String("error", r.Error()))
	}
	memory := readMemory(lookup, cgroup)
	memory.apply()
	stats := new(ledger.Ledger)
	stats.SetRules(settings.Redact.Names())
	if err := stats.Mirror(settings.TerminationFile); err != nil {
		log.Warn("the ledger is not kept for a kill", zap.Error(err))
	}
	var releasing sync.WaitGroup
	defer releasing.Wait()
	releasing.Go(func() { releaseMemory(ctx, stats) })
	config := newConfig(settings, len(refusals), memory, fips(lookup))
	config.Telemetry.Pod, _ = lookup(sidecarapi.EnvPodUID)
	err := runCollector(ctx, collectorSettings(config, lookup, stats, log))
	if err != nil {
		log.Error("collector ended; telemetry is not received", zap.Error(err))
		<-ctx.Done()
	}
	return errors.Join(err, publish(stats, out))
}

// fips reports whether AWS's own variable asks for endpoints with validated cryptography.
func fips(lookup func(string) (string, bool)) bool {
	value, _ := lookup("AWS_USE_FIPS_ENDPOINT")
	return value == "true"
}

func runCollector(ctx context.Context, settings otelcol.CollectorSettings) error {
	collector, err := otelcol.NewCollector(settings)
	if err != nil {
		return fmt.Errorf("make collector: %w", err)
	}
	if err := collector.Run(ctx); err != nil {
		return fmt.Errorf("run collector: %w", err)
	}
	return nil
}

func collectorSettings(config Config, lookup func(string) (string, bool), stats *ledger.Ledger, log *zap.Logger) otelcol.CollectorSettings {
	return otelcol.CollectorSettings{
		BuildInfo:               component.BuildInfo{Command: "novawire-sidecar", Description: "the collector of a wired pod", Version: version.String()},
		Factories:               func() (otelcol.Factories, error) { return factories(config, lookup, stats, log) },
		ConfigProviderSettings:  topologyProvider(topology(config.spanProcessors()...)),
		DisableGracefulShutdown: true, // main handles signals
		SkipSettingGRPCLogger:   true,
	}
}

func factories(config Config, lookup func(string) (string, bool), stats *ledger.Ledger, log *zap.Logger) (f otelcol.Factories, err error) {
	credentials := podCredentials(lookup)
	limiter := configured{Factory: memorylimiterprocessor.NewFactory(), config: config.MemoryLimiter.config()}
	processors := []processor.Factory{limiter, resource.NewFactory(config.Resource)}
	var derived telemetry.Writer
	if config.SpanMetrics.Enabled {
		metrics := spanmetrics.NewMetrics(config.SpanMetrics, log)
		processors, derived = append(processors, spanmetrics.NewFactory(config.SpanMetrics, metrics)), metrics
	}
	var errs [4]error
	f.Receivers, errs[0] = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory(config.Receiver, stats))
	f.Processors, errs[1] = otelcol.MakeFactoryMap(processors...)
	f.Exporters, errs[2] = otelcol.MakeFactoryMap[exporter.Factory](otlpexporter.NewFactory(config.Exporter, credentials, stats))
	f.Extensions, errs[3] = otelcol.MakeFactoryMap[extension.Factory](telemetry.NewFactory(config.Telemetry, stats, derived))
	f.Telemetry = newTelemetry(log)
	return f, errors.Join(errs[:]...)
}

// podCredentials returns the credentials of the pod. If it has none, each request that
// must be signed fails with the reason.
func podCredentials(lookup func(string) (string, bool)) aws.CredentialsProvider {
	getenv := func(name string) string { value, _ := lookup(name); return value }
	settings, _ := sidecarapi.ParseSettings(lookup)
	found, err := awscredentials.Find(getenv, awscredentials.Options{Region: settings.Region, HTTPClient: &http.Client{Timeout: 5 * time.Second}})
	if err != nil {
		return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, err })
	}
	return found
}

// publish prints the ledger, and closes it in the termination file.
func publish(stats *ledger.Ledger, out io.Writer) error {
	if _, err := out.Write(stats.Line()); err != nil {
		return errors.Join(fmt.Errorf("print ledger: %w", err), stats.Close())
	}
	return stats.Close()
}

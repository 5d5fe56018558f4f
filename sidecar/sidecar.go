// Package sidecar is the collector that runs in every wired pod: our own
// distribution of the OpenTelemetry Collector, a handful of components around
// one configuration that is built in. It takes OTLP on loopback, keeps account
// of every item and sends it to one backend. It exports nothing of the
// application that the application did not send, and it never ends by itself:
// what it cannot deliver it counts.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/version"
	otlpexporter "github.com/nova/novawire/sidecar/exporter"
	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/processor/count"
	"github.com/nova/novawire/sidecar/processor/resource"
	otlpreceiver "github.com/nova/novawire/sidecar/receiver"
	"github.com/nova/novawire/sidecar/sigv4"
	"github.com/nova/novawire/sidecar/telemetry"
)

// Run runs the sidecar until ctx ends, and then prints its ledger to out and to
// the termination file. A collector that cannot start is told and waited out:
// ending would have the kubelet restart it for ever.
func Run(ctx context.Context, lookup func(name string) (string, bool), out io.Writer) error {
	settings, mistakes := sidecarapi.ParseSettings(lookup)
	log := newLogger(out)
	for _, m := range mistakes {
		log.Warn("setting is ignored", zap.String("setting", m.Setting), zap.String("error", m.Error()))
	}
	memory := readMemory(lookup, cgroup)
	memory.apply()
	book := new(ledger.Ledger)
	var resting sync.WaitGroup
	defer resting.Wait()
	resting.Go(func() { rest(ctx, book) })
	err := runCollector(ctx, collectorSettings(configuration(settings, len(mistakes), memory), lookup, book, log))
	if err != nil {
		log.Error("collector ended, telemetry is not taken", zap.Error(err))
		<-ctx.Done()
	}
	return errors.Join(err, publish(book, out, settings.TerminationFile))
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

func collectorSettings(conf map[string]any, lookup func(string) (string, bool), book *ledger.Ledger, log *zap.Logger) otelcol.CollectorSettings {
	return otelcol.CollectorSettings{
		BuildInfo:               component.BuildInfo{Command: "novawire-sidecar", Description: "the collector of a wired pod", Version: version.String()},
		Factories:               func() (otelcol.Factories, error) { return factories(lookup, book, log) },
		ConfigProviderSettings:  builtIn(conf),
		DisableGracefulShutdown: true, // signals are main's
		SkipSettingGRPCLogger:   true,
	}
}

func factories(lookup func(string) (string, bool), book *ledger.Ledger, log *zap.Logger) (f otelcol.Factories, err error) {
	credentials := sigv4.Credentials(lookup, &http.Client{Timeout: 5 * time.Second})
	var errs [4]error
	f.Receivers, errs[0] = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory(book))
	f.Processors, errs[1] = otelcol.MakeFactoryMap[processor.Factory](count.NewFactory(book), memorylimiterprocessor.NewFactory(), resource.NewFactory())
	f.Exporters, errs[2] = otelcol.MakeFactoryMap[exporter.Factory](otlpexporter.NewFactory(book))
	f.Extensions, errs[3] = otelcol.MakeFactoryMap[extension.Factory](telemetry.NewFactory(book), sigv4.NewFactory(credentials))
	f.Telemetry = newTelemetry(log)
	return f, errors.Join(errs[:]...)
}

// publish prints the ledger, and writes it where the kubelet reads why a
// container ended, which it makes a file for.
func publish(book *ledger.Ledger, out io.Writer, terminationFile string) error {
	line := book.Line()
	if _, err := out.Write(line); err != nil {
		return fmt.Errorf("print ledger: %w", err)
	}
	file, err := os.OpenFile(terminationFile, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // not in a pod
	} else if err != nil {
		return fmt.Errorf("write termination message: %w", err)
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}

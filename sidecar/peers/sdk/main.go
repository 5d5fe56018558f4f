// Command sdk is an application as users have them: the stock OpenTelemetry SDK
// for Go, shaped by nothing but the environment that injection sets. It makes
// traces, prints the id of each, and says how many spans its exporter lost.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sdk", flag.ContinueOnError)
	traces := flags.Int("traces", 1, "traces to make")
	children := flags.Int("children", 4, "spans below the root of each")
	every := flags.Duration("every", 0, "pause between traces; 0: none")
	stay := flags.Bool("stay", false, "wait for SIGTERM at the end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return err
	}
	var failed error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { failed = err }))
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter, trace.WithBatchTimeout(200*time.Millisecond)))
	for n := 0; n < *traces && ctx.Err() == nil; n++ {
		fmt.Println("trace", makeTrace(ctx, provider, *children))
		select {
		case <-time.After(*every):
		case <-ctx.Done():
		}
	}
	if *stay {
		<-ctx.Done()
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := provider.Shutdown(ending); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return failed
}

// newExporter reads OTEL_EXPORTER_OTLP_PROTOCOL, which the Go SDK leaves to its
// users; the exporters read the rest.
func newExporter(ctx context.Context) (trace.SpanExporter, error) {
	var client otlptrace.Client = otlptracegrpc.NewClient()
	if os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL") == "http/protobuf" {
		client = otlptracehttp.NewClient()
	}
	return otlptrace.New(ctx, client)
}

func makeTrace(ctx context.Context, provider *trace.TracerProvider, children int) string {
	tracer := provider.Tracer("sdk")
	ctx, root := tracer.Start(ctx, "GET /cart")
	defer root.End()
	for i := range children {
		_, span := tracer.Start(ctx, "SELECT cart")
		span.SetAttributes(attribute.Int("child", i))
		span.End()
	}
	return root.SpanContext().TraceID().String()
}

// Command app is a minimal Nova service for the end-to-end tests. It serves /health,
// /ready and /metrics and logs a line of JSON for each request. /fail answers with an
// error and counts in every P0 indicator. It also plays two parts in the tests of the
// alerts: it exposes metrics that a test sends to it, and keeps the alerts that
// Alertmanager sends to it. /kill kills another program of its pod. With -once it logs one line and exits, as a Job does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	address := flags.String("address", ":8080", "address to serve on")
	once := flags.Bool("once", false, "log one line and exit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(stdout, nil))
	if *once {
		log.Info("work done")
		return nil
	}
	return serve(ctx, *address, log)
}

func serve(ctx context.Context, address string, log *slog.Logger) error {
	var requests, failures atomic.Int64
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			log.Info("request served", "path", r.URL.Path, "requests", requests.Add(1))
			fmt.Fprint(w, body)
		})
	}
	answer("/health", "ok")
	answer("/ready", "ok")
	mux.HandleFunc("GET /fail", func(w http.ResponseWriter, r *http.Request) {
		log.Error("request failed", "path", r.URL.Path, "requests", requests.Add(1), "failures", failures.Add(1))
		http.Error(w, "fails", http.StatusInternalServerError)
	})
	var scripted, inbox box
	metrics := func(w http.ResponseWriter, _ *http.Request) {
		writeMetrics(w, requests.Load(), failures.Load())
		scripted.writeTo(w)
	}
	mux.HandleFunc("GET /metrics", metrics)
	mux.HandleFunc("GET /api/v2/metrics/prometheus", metrics) // Fluent Bit's path
	mux.HandleFunc("POST /metrics", scripted.replace)
	mux.HandleFunc("GET /kill", kill)
	mux.HandleFunc("POST /inbox", inbox.append)
	mux.HandleFunc("GET /inbox", func(w http.ResponseWriter, _ *http.Request) { inbox.writeTo(w) })

	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// writeMetrics writes the counters of the app. The P0 indicators and their totals exist
// at 0 from the start. A failed request counts as a failed call and as a timeout too.
func writeMetrics(w io.Writer, requests, failures int64) {
	for _, m := range []struct {
		name  string
		value int64
	}{
		{"app_requests_total", requests},
		{"http_server_requests_total", requests},
		{"http_server_errors_total", failures},
		{"grpc_client_requests_total", requests},
		{"grpc_client_errors_total", failures},
		{"redis_timeout_total", failures},
	} {
		fmt.Fprintf(w, "# TYPE %[1]s counter\n%[1]s %[2]d\n", m.name, m.value)
	}
}

// box keeps what is posted to it.
type box struct {
	mu   sync.Mutex
	text []byte
}

// append adds the body and a newline.
func (b *box) append(_ http.ResponseWriter, r *http.Request) { b.receive(r, false) }

// replace keeps the body alone.
func (b *box) replace(_ http.ResponseWriter, r *http.Request) { b.receive(r, true) }

func (b *box) receive(r *http.Request, alone bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender has gone
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if alone {
		b.text = nil
	}
	b.text = append(append(b.text, body...), '\n')
}

func (b *box) writeTo(w io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = w.Write(b.text)
}

// Command app is a minimal Nova service for the end-to-end tests. It serves /health,
// /ready and /metrics and logs a line of JSON for each request. With -once it logs one
// line and exits, as a Job does.
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
	var requests atomic.Int64
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			log.Info("request served", "path", r.URL.Path, "requests", requests.Add(1))
			fmt.Fprint(w, body)
		})
	}
	answer("/health", "ok")
	answer("/ready", "ok")
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE app_requests_total counter\napp_requests_total %d\n", requests.Load())
	})

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

// Command xray is a fake of AWS's OTLP endpoints for the end-to-end tests, and with -logs
// of CloudWatch Logs. It accepts requests that are signed with its key and reports the
// others as problems. /report returns what it accepted, /logs the log events;
// /busy?busy=true makes it refuse everything until /busy?busy=false.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nova/novawire/internal/testing/fakelogs"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "xray:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var key fakeotlp.AWS
	flags := flag.NewFlagSet("xray", flag.ContinueOnError)
	otlp := flags.String("otlp", ":4318", "address for signed OTLP requests")
	logs := flags.String("logs", "", "address of CloudWatch Logs; none unless set")
	address := flags.String("address", ":8080", "address for /report and /ready")
	flags.StringVar(&key.Region, "region", "eu-west-1", "region that requests are signed for")
	flags.StringVar(&key.AccessKey, "access-key", "", "access key")
	flags.StringVar(&key.SecretKey, "secret-key", "", "secret key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	receiver, err := fakeotlp.Start(ctx, fakeotlp.Options{HTTP: *otlp, AWS: &key})
	if err != nil {
		return err
	}
	defer receiver.Close()
	mux := routes(receiver)
	if *logs != "" {
		service, err := fakelogs.Start(ctx, fakelogs.Options{Region: key.Region, AccessKey: key.AccessKey, SecretKey: key.SecretKey, Address: *logs})
		if err != nil {
			return err
		}
		defer service.Close()
		mux.HandleFunc("GET /logs", func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(logReport{service.Stored(), service.Violations()})
		})
	}
	server := &http.Server{Addr: *address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// report is the response of /report.
type report struct {
	Spans    int               // acknowledged, each counted once
	Resource map[string]string // of the last
	Problems []string
}

// logReport is the response of /logs.
type logReport struct {
	Events     []fakelogs.Event
	Violations []string // requests that the service does not allow
}

func routes(r *fakeotlp.Receiver) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /busy", func(_ http.ResponseWriter, q *http.Request) {
		busy := q.URL.Query().Get("busy") == "true"
		r.Misbehave(func(int) (f fakeotlp.Fault) {
			if busy {
				f.Refuse = fakeotlp.Busy
			}
			return f
		})
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(report{Spans: len(r.Taken("traces")), Resource: r.Resource("traces"), Problems: r.Problems()})
	})
	return mux
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/report"
	"github.com/nova/novawire/backup/report/cloudwatch"
	"github.com/nova/novawire/backup/report/otlp"
	"github.com/nova/novawire/backup/signature"
	"github.com/nova/novawire/internal/aws/credentials"
	"github.com/nova/novawire/internal/version"
)

// session is one verb at work, from its settings to its report.
type session struct {
	program
	settings
	log      *slog.Logger
	store    backup.Store
	key      *signature.Key // nil where the verb signs nothing
	keys     signature.Keys
	warn     func(key string, problem error) // see [signature.Store]
	recorder *otlp.Recorder
	progress backup.Progress
	streams  int
	result   backupapi.Result
}

// verb wraps what a command does: settings before it, the deadline around it,
// and the reports after it, whatever happened.
func (p program) verb(do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		name := cmd.Name()
		if !cmd.HasParent() {
			name = "run"
		}
		s := &session{program: p, result: backupapi.Result{Verb: name, Version: version.String(), Started: p.now().UTC()}}
		ctx, err := s.open(cmd)
		if err != nil {
			return s.close(cmd.Context(), err)
		}
		ctx, cancel := context.WithTimeout(ctx, s.duration(backupapi.EnvDeadline))
		defer cancel()
		stop := s.showProgress(ctx)
		ctx, end := s.recorder.Step(ctx, "pg-backup "+name)
		err = do(ctx, s, args)
		end(err)
		stop()
		return s.close(ctx, err)
	}
}

func (s *session) open(cmd *cobra.Command) (context.Context, error) {
	s.recorder = otlp.NewRecorder(otlp.FromEnvironment(s.program.getenv, "pg-backup", version.String()), s.now)
	var err error
	s.settings, err = s.program.settings(cmd)
	s.log = s.logger(s.program)
	if err != nil {
		return nil, err
	}
	openStore := s.settings.store
	if usesCopy(cmd) {
		openStore = s.copyStore
	}
	if s.store, err = openStore(); err != nil {
		return nil, err
	}
	if err = s.sign(); err != nil {
		return nil, err
	}
	s.streams = s.settings.streams(s.log)
	if s.program.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(dump.Memory(s.streams, dump.DefaultLayout))
	}
	s.log.Debug("memory", "streams", s.streams, "at_most", dump.Memory(s.streams, dump.DefaultLayout))
	return cmd.Context(), nil
}

// reportTimeout is how long telemetry may keep a finished verb from ending.
const reportTimeout = 20 * time.Second

// close reports: the log, the termination message, metrics and traces. None of it
// changes how the verb ended.
func (s *session) close(ctx context.Context, err error) error {
	r := &s.result
	r.Seconds = s.now().Sub(r.Started).Seconds()
	if err != nil {
		r.Category, r.Message = backup.Category(ctx, err), err.Error()
		s.log.Error("verb failed", "verb", r.Verb, "category", r.Category, "exit_code", r.Category.ExitCode(), "error", err)
	}
	s.writeTermination()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	s.report(ctx)
	if err != nil {
		return reportedError{r.Category, err}
	}
	return nil
}

func (s *session) report(ctx context.Context) {
	measurements := report.Measure(s.result, s.now())
	if namespace := s.values[backupapi.EnvCloudWatchNamespace]; namespace != "" && namespace != "none" {
		if err := s.cloudwatch(namespace).Report(ctx, measurements, s.now()); err != nil {
			s.log.Warn("metrics were written to stdout instead", "error", err)
		}
	}
	if err := s.recorder.Send(ctx, measurements, s.now()); err != nil {
		s.log.Warn("telemetry was not delivered", "error", err)
	}
}

// cloudwatch does not offer the keys of another store to AWS: with an S3 endpoint
// of its own, and none for CloudWatch, metrics are written.
func (s *session) cloudwatch(namespace string) cloudwatch.Reporter {
	reporter := cloudwatch.Reporter{Namespace: namespace, Fallback: s.stdout}
	endpoint := s.program.getenv("AWS_ENDPOINT_URL_CLOUDWATCH")
	if endpoint == "" && s.values[backupapi.EnvS3Endpoint] != "" || s.store == nil {
		return reporter
	}
	region := s.values[backupapi.EnvAWSRegion]
	provider, err := credentials.Find(s.setting, credentials.Options{Region: region, InstanceRole: true})
	if err != nil {
		s.log.Warn("metrics are written to stdout: there are no AWS credentials", "error", err)
		return reporter
	}
	reporter.Client = cloudwatch.NewClient(region, endpoint, provider)
	return reporter
}

// writeTermination writes the result where Kubernetes reads it. The file is there
// before us; elsewhere there is none, and none is made.
func (s *session) writeTermination() {
	path := s.values[backupapi.EnvTerminationPath]
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return
	}
	_, err = file.Write(s.result.Encode())
	if err := errors.Join(err, file.Close()); err != nil {
		s.log.Warn("termination message was not written", "error", err)
	}
}

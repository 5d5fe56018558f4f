// Command mutation measures what a package's own tests notice. It changes one
// operator, condition, statement or returned error at a time, runs the tests of the
// package that holds it, and counts the changes that make a test fail.
//
// All mutants of a package are compiled into one test binary, each behind a switch
// that an environment variable turns on, so that a mutant costs one run of the
// tests and no build. A first run records which mutants the tests reach; those that
// they do not reach survive without a run. The tree is never written to: the
// changed files are an overlay of the go command.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const usage = `Usage: mutation [flags] PACKAGE[:FILE,FILE]…

Runs the tests of each package against mutants of the package, and prints a table
of what was killed, and the survivors that the list of accepted ones does not hold.

Flags:
`

const exitCodes = `
Exit codes: 0 every package reaches the minimum; 1 one does not, or its tests fail
without a mutant; 64 usage.
`

type options struct {
	accepted string
	minimum  float64
	folder   string
	list     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.accepted, "accepted", "", "`file` of survivors that are accepted, each with its reason")
	flags.Float64Var(&o.minimum, "minimum", 85, "`percent` of mutants that each package's tests must kill")
	flags.StringVar(&o.folder, "C", ".", "`folder` of the module")
	flags.BoolVar(&o.list, "list", false, "print the mutants and run nothing")
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
		fmt.Fprint(stderr, exitCodes)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 64
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return 64
	}
	reports, err := measure(ctx, o, flags.Args(), stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "mutation:", err)
		return 1
	}
	if !o.list && !summarize(stdout, reports, o.minimum) {
		return 1
	}
	return 0
}

func measure(ctx context.Context, o options, patterns []string, stdout, stderr io.Writer) ([]report, error) {
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		return nil, err
	}
	packages, err := load(o.folder, patterns)
	if err != nil {
		return nil, err
	}
	var reports []report
	for _, p := range packages {
		mutated := mutate(p)
		if o.list {
			for _, m := range mutated.mutants {
				fmt.Fprintln(stdout, m.key())
			}
			continue
		}
		started := time.Now()
		r, err := p.test(ctx, mutated, stderr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
		r.accept(accepted)
		r.seconds = time.Since(started).Seconds()
		r.print(stdout)
		reports = append(reports, r)
	}
	return reports, nil
}

// readAccepted reads lines of a mutant's key, a tab and the reason. A line that
// begins with # is a comment.
func readAccepted(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	accepted := map[string]string{}
	for i, line := range strings.Split(string(bytes.TrimSpace(text)), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, reason, ok := strings.Cut(line, "\t")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: write the mutant, a tab and the reason", file, i+1)
		}
		accepted[key] = strings.TrimSpace(reason)
	}
	return accepted, nil
}

type report struct {
	path       string
	killed     int
	accepted   int
	survivors  []mutant // that nothing accepts
	unreached  int      // of the survivors
	seconds    float64
	notCompile int
}

func (r *report) accept(reasons map[string]string) {
	r.survivors = slices.DeleteFunc(r.survivors, func(m mutant) bool {
		_, ok := reasons[m.key()]
		if ok {
			r.accepted++
			if !m.reached {
				r.unreached--
			}
		}
		return ok
	})
}

// percent is the share of killed mutants. An accepted survivor counts neither way.
func (r report) percent() float64 {
	if r.killed+len(r.survivors) == 0 {
		return 100
	}
	return 100 * float64(r.killed) / float64(r.killed+len(r.survivors))
}

func (r report) print(w io.Writer) {
	for _, m := range r.survivors {
		how := "survived"
		if !m.reached {
			how = "not reached"
		}
		fmt.Fprintf(w, "%s: %s\n", how, m.where())
	}
}

func summarize(w io.Writer, reports []report, minimum float64) bool {
	enough := true
	fmt.Fprintf(w, "\n%-45s %8s %8s %9s %9s %8s %8s\n", "PACKAGE", "MUTANTS", "KILLED", "SURVIVED", "ACCEPTED", "PERCENT", "SECONDS")
	for _, r := range reports {
		fmt.Fprintf(w, "%-45s %8d %8d %9d %9d %7.1f%% %8.0f\n", r.path, r.killed+r.accepted+len(r.survivors), r.killed, len(r.survivors), r.accepted, r.percent(), r.seconds)
		enough = enough && r.percent() >= minimum
	}
	return enough
}

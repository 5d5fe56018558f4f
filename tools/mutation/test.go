package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// switches is added to each package: it says which mutant is on.
const switches = `package %s

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

var mutantActive, _ = strconv.Atoi(os.Getenv("NOVAWIRE_MUTANT"))

var (
	mutantTrace = os.Getenv("NOVAWIRE_MUTANT_TRACE")
	mutantMutex sync.Mutex
	mutantSeen  = map[int]bool{}
)

func mutantOn(id int) bool {
	if mutantTrace != "" {
		mutantReached(id)
	}
	return id == mutantActive
}

func mutantReached(id int) {
	mutantMutex.Lock()
	defer mutantMutex.Unlock()
	if mutantSeen[id] {
		return
	}
	mutantSeen[id] = true
	f, err := os.OpenFile(mutantTrace, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(f, id)
		_ = f.Close()
	}
}

func mutantNil(id int, err error) error {
	if mutantOn(id) {
		return nil
	}
	return err
}

func mutantPick[T any](id int, mutated, original T) T {
	if mutantOn(id) {
		return mutated
	}
	return original
}
`

// test runs the package's tests against each mutant.
func (p pkg) test(ctx context.Context, m mutation, progress io.Writer) (report, error) {
	work, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return report{}, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	m, binary, err := p.build(ctx, m, work, progress)
	if err != nil {
		return report{}, err
	}
	if binary == "" {
		return report{path: p.path, survivors: m.mutants, unreached: len(m.mutants)}, nil
	}
	trace := filepath.Join(work, "trace")
	started := time.Now()
	if out, err := p.run(ctx, binary, 20*time.Minute, "NOVAWIRE_MUTANT_TRACE="+trace); err != nil {
		return report{}, fmt.Errorf("its tests fail without a mutant: %w\n%s", err, tail(out))
	}
	limit := 3*time.Since(started) + 3*time.Second
	readTrace(trace, m.mutants)

	r := report{path: p.path}
	var (
		mutex sync.Mutex
		done  atomic.Int64
		group sync.WaitGroup
		slots = make(chan struct{}, runtime.NumCPU())
	)
	for _, one := range m.mutants {
		if !one.reached {
			r.survivors, r.unreached = append(r.survivors, one), r.unreached+1
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			_, err := p.run(ctx, binary, limit, "NOVAWIRE_MUTANT="+strconv.Itoa(one.id))
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				r.killed++
			} else {
				r.survivors = append(r.survivors, one)
			}
			if n := done.Add(1); n%50 == 0 {
				_, _ = fmt.Fprintf(progress, "%s: %d of %d mutants, %d killed\n", p.path, n, len(m.mutants)-r.unreached, r.killed)
			}
		})
	}
	group.Wait()
	return r, ctx.Err()
}

var compileError = regexp.MustCompile(`(?m)^(?:vet: )?(\S+\.go):(\d+):\d+: `)

// build compiles the tests with every mutant in them. Mutants of a line that does
// not compile are left out: the type system kills them.
func (p pkg) build(ctx context.Context, m mutation, work string, progress io.Writer) (mutation, string, error) {
	skip := map[string]map[int]bool{}
	for range 20 {
		replace := map[string]string{}
		for file, src := range m.sources {
			changed := filepath.Join(work, filepath.Base(file))
			if err := os.WriteFile(changed, src, 0o600); err != nil {
				return m, "", err
			}
			replace[file] = changed
		}
		extra := filepath.Join(work, "mutant_switches.go")
		if err := os.WriteFile(extra, fmt.Appendf(nil, switches, p.name), 0o600); err != nil {
			return m, "", err
		}
		replace[filepath.Join(p.folder, "mutant_switches.go")] = extra
		overlay := filepath.Join(work, "overlay.json")
		encoded, err := json.Marshal(map[string]any{"Replace": replace})
		if err != nil {
			return m, "", err
		}
		if err := os.WriteFile(overlay, encoded, 0o600); err != nil {
			return m, "", err
		}
		binary := filepath.Join(work, "package.test")
		build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", overlay, "-o", binary, ".")
		build.Dir = p.folder
		out, err := build.CombinedOutput()
		if err == nil {
			if _, missing := os.Stat(binary); missing != nil {
				return m, "", nil // there are no tests
			}
			return m, binary, nil
		}
		found := 0
		for _, match := range compileError.FindAllStringSubmatch(string(out), -1) {
			name := filepath.Base(match[1])
			line, _ := strconv.Atoi(match[2])
			if skip[name] == nil {
				skip[name] = map[int]bool{}
			}
			if !skip[name][line] {
				skip[name][line] = true
				found++
			}
		}
		if found == 0 {
			return m, "", fmt.Errorf("compile the mutants: %w\n%s", err, tail(out))
		}
		m = p.mutate(skip)
	}
	return m, "", fmt.Errorf("compile the mutants: too many lines do not compile")
}

// run runs the test binary in the package's folder, and kills it at the limit.
func (p pkg) run(ctx context.Context, binary string, limit time.Duration, env string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	test := exec.CommandContext(ctx, binary, "-test.failfast", "-test.timeout", limit.String())
	test.Dir = p.folder
	test.Env = append(os.Environ(), env, "GOMEMLIMIT=1GiB")
	test.WaitDelay = time.Second
	var out bytes.Buffer
	test.Stdout, test.Stderr = &out, &out
	err := test.Run()
	return out.Bytes(), err
}

func readTrace(file string, mutants []mutant) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if id, err := strconv.Atoi(lines.Text()); err == nil && id > 0 && id <= len(mutants) {
			mutants[id-1].reached = true
		}
	}
}

func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

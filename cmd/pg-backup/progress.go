package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nova/novawire/internal/units"
)

// Intervals at which progress is shown.
const (
	logInterval = 10 * time.Second
	barInterval = 250 * time.Millisecond
)

// showProgress shows the progress of a verb until the returned function is called: as
// a bar on a terminal, and as log lines elsewhere.
func (s *session) showProgress(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	every, show := logInterval, s.logProgress
	terminal := isTerminal(s.terminal)
	if terminal {
		every, show = barInterval, s.drawBar
	}
	var shown sync.WaitGroup
	shown.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		began := map[string]time.Time{}
		for {
			select {
			case <-ctx.Done():
				if terminal && len(began) > 0 {
					fmt.Fprint(s.terminal, "\r\x1b[K")
				}
				return
			case <-tick.C:
				show(s.pace(began))
			}
		}
	})
	return func() {
		cancel()
		shown.Wait()
	}
}

// pace is the progress of the current database.
type pace struct {
	database        string
	moved, estimate int64
	rate            float64 // bytes a second
}

func (s *session) pace(began map[string]time.Time) pace {
	name, moved, estimate := s.progress.Now()
	if name == "" {
		return pace{}
	}
	if began[name].IsZero() {
		began[name] = s.now()
	}
	p := pace{database: name, moved: moved, estimate: estimate}
	if seconds := s.now().Sub(began[name]).Seconds(); seconds > 0 {
		p.rate = float64(moved) / seconds
	}
	return p
}

// share returns the share of the estimate. The estimate is the size of the tables on
// disk, and the dump may be longer.
func (p pace) share() float64 {
	if p.estimate <= 0 {
		return 0
	}
	return min(1, float64(p.moved)/float64(p.estimate))
}

func (s *session) logProgress(p pace) {
	if p.database != "" {
		s.log.Info("progress", "verb", s.result.Verb, "database", p.database, "bytes", p.moved, "bytes_per_second", int64(p.rate), "share", fmt.Sprintf("%.0f%%", 100*p.share()))
	}
}

func (s *session) drawBar(p pace) {
	if p.database == "" {
		return
	}
	const width = 30
	full := int(p.share() * width)
	fmt.Fprintf(s.terminal, "\r\x1b[K%s [%s%s] %3.0f%% %s, %s/s", printable([]byte(oneLine(p.database))), strings.Repeat("=", full), strings.Repeat(" ", width-full), 100*p.share(), units.Bytes(p.moved), units.Bytes(int64(p.rate)))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

//go:build cgo

package main

/*
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static int pipe_ends[2] = {-1, -1};
static struct sigaction previous;

// on_sigterm notifies Go, then calls the handler of Fluent Bit.
static void on_sigterm(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	char byte = 1;

	(void)!write(pipe_ends[1], &byte, 1);
	errno = saved;
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else if (previous.sa_handler == SIG_DFL) {
		sigaction(number, &previous, NULL);
		raise(number);
	}
	else if (previous.sa_handler != SIG_IGN)
		previous.sa_handler(number);
}

// chain_sigterm puts our handler before the present one, if it is not ours yet:
// Fluent Bit installs its own again when it reloads.
static int chain_sigterm(void)
{
	struct sigaction now, ours = {.sa_sigaction = on_sigterm, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	sigemptyset(&ours.sa_mask);
	if (pipe_ends[0] < 0 && pipe(pipe_ends) != 0)
		return -1;
	if (sigaction(SIGTERM, NULL, &now) != 0)
		return -1;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigterm)
		return 0;
	previous = now;
	return sigaction(SIGTERM, &ours, NULL);
}

static int signals_fd(void) { return pipe_ends[0]; }
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
)

var drainOnSignal sync.Once

// watchSignals drains all outputs when the process receives SIGTERM. Fluent Bit
// calls the plugin's exit callback only after its workers have ended, which a
// backlog delays, and os/signal would replace Fluent Bit's handler; so a handler
// in C comes before it. A reload is not an end: a failed one keeps the outputs.
func watchSignals() error {
	if code, err := C.chain_sigterm(); code != 0 {
		return fmt.Errorf("chain signal handler: %w", err)
	}
	drainOnSignal.Do(func() {
		signals := os.NewFile(uintptr(C.signals_fd()), "signals")
		go func() {
			one := make([]byte, 1)
			for {
				if _, err := signals.Read(one); err != nil {
					return
				}
				state.drain()
			}
		}()
	})
	return nil
}

// drain drains all outputs at the same time.
func (p *pluginState) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.outputs {
		go func() {
			defer func() { p.recovered("drain", recover()) }()
			o.Drain()
		}()
	}
}

//go:build cgo

package main

import (
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/nova/novawire/fluentbit"
)

// window serves the metrics of the instances that name its address.
type window struct {
	server  *http.Server
	outputs []*fluentbit.Output
}

// show serves an instance's metrics. An address that is taken is told, and logs
// are delivered all the same.
func (p *process) show(address string, o *fluentbit.Output) {
	if address == "" {
		return
	}
	if p.windows == nil {
		p.windows = map[string]*window{}
	}
	w := p.windows[address]
	if w == nil {
		w = p.serve(address)
		p.windows[address] = w
	}
	w.outputs = append(w.outputs, o)
}

func (p *process) serve(address string) *window {
	w := &window{}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /metrics", func(rw http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		outputs := slices.Clone(w.outputs)
		p.mu.Unlock()
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fluentbit.WriteMetrics(rw, outputs)
	})
	w.server = &http.Server{Handler: routes, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	listener, err := net.Listen("tcp", address) //nolint:noctx // lives as long as the process
	if err != nil {
		p.log.Warn("metrics not served", "address", address, "error", err)
		return w
	}
	go func() { _ = w.server.Serve(listener) }()
	return w
}

// hide closes a window with its last instance.
func (p *process) hide(o *fluentbit.Output) {
	for address, w := range p.windows {
		w.outputs = slices.DeleteFunc(w.outputs, func(other *fluentbit.Output) bool { return other == o })
		if len(w.outputs) == 0 {
			_ = w.server.Close()
			delete(p.windows, address)
		}
	}
}

//go:build cgo

package main

import (
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/nova/novawire/fluentbit"
)

// metricsServer serves the metrics of all instances with the same metrics_listen.
type metricsServer struct {
	server  *http.Server
	outputs []*fluentbit.Output
}

// serveMetrics serves the metrics of an instance. If the address is in use, it
// logs a warning: logs are delivered without metrics.
func (p *pluginState) serveMetrics(address string, o *fluentbit.Output) {
	if address == "" {
		return
	}
	if p.metricsServers == nil {
		p.metricsServers = map[string]*metricsServer{}
	}
	m := p.metricsServers[address]
	if m == nil {
		m = p.newMetricsServer(address)
		p.metricsServers[address] = m
	}
	m.outputs = append(m.outputs, o)
}

func (p *pluginState) newMetricsServer(address string) *metricsServer {
	m := &metricsServer{}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		outputs := slices.Clone(m.outputs)
		p.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fluentbit.WriteMetrics(w, outputs)
	})
	routes.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		outputs := slices.Clone(m.outputs)
		p.mu.Unlock()
		for _, o := range outputs {
			if err := o.Ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
	})
	m.server = &http.Server{Handler: routes, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	listener, err := net.Listen("tcp", address) //nolint:noctx // the listener lives as long as the process
	if err != nil {
		p.log.Warn("metrics not served", "address", address, "error", err)
		return m
	}
	go func() { _ = m.server.Serve(listener) }()
	return m
}

// stopMetrics removes an instance, and closes its server with the last one.
func (p *pluginState) stopMetrics(o *fluentbit.Output) {
	for address, m := range p.metricsServers {
		m.outputs = slices.DeleteFunc(m.outputs, func(other *fluentbit.Output) bool { return other == o })
		if len(m.outputs) == 0 {
			_ = m.server.Close()
			delete(p.metricsServers, address)
		}
	}
}

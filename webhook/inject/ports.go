package inject

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// ports are the ports that the sidecar listens on. OTLP's ports are on loopback, the
// port of its metrics is on the pod's address; each of them accepts both protocols.
type ports struct{ grpc, http, metrics int }

var defaultPorts = ports{sidecarapi.PortOTLPGRPC, sidecarapi.PortOTLPHTTP, sidecarapi.MetricsPort}

// choosePorts moves the sidecar to other ports if the pod listens on its own. The
// sidecar starts first, so otherwise the app's listen would fail. It returns a note if
// the ports cannot be moved.
func (w *wiring) choosePorts() (Note, bool) {
	taken := w.takenPorts()
	needed := slices.DeleteFunc(slices.Clone(taken), func(t takenPort) bool {
		return t.port != defaultPorts.grpc && t.port != defaultPorts.http && t.port != defaultPorts.metrics
	})
	if len(needed) > 0 && !w.engine.canMovePorts() {
		return Note{Reason: PortFixed, Container: needed[0].container, Subject: "port " + itoa(needed[0].port), Detail: needed[0].evidence}, true
	}
	for offset := 10000; taken.has(w.ports.grpc) || taken.has(w.ports.http); offset += 10000 {
		w.ports.grpc, w.ports.http = sidecarapi.PortOTLPGRPC+offset, sidecarapi.PortOTLPHTTP+offset
	}
	for offset := 10000; taken.has(w.ports.metrics); offset += 10000 {
		w.ports.metrics = sidecarapi.MetricsPort + offset
	}
	for _, t := range needed {
		w.note(Note{Reason: PortTaken, Container: t.container, Subject: "port " + itoa(t.port), Detail: t.evidence})
	}
	if w.ports != defaultPorts {
		w.status.Ports = []int{w.ports.grpc, w.ports.http, w.ports.metrics}
	}
	if w.hasPrevious && !slices.Equal(w.previous.Ports, w.status.Ports) {
		w.stale = true // a container that listens was added after the pod was wired
	}
	return Note{}, false
}

// canMovePorts reports whether the sidecar's addresses are ours to choose.
func (e *Engine) canMovePorts() bool {
	for _, name := range []string{sidecarapi.EnvListen, sidecarapi.EnvMetricsListen} {
		_, inEnv := e.config.Sidecar.Env[name]
		_, inSecret := e.config.Sidecar.SecretEnv[name]
		if inEnv || inSecret {
			return false
		}
	}
	return true
}

// takenPort is a port that a container listens on, and how we know.
type takenPort struct {
	port      int
	container string
	evidence  string
}

type takenPorts []takenPort

func (t takenPorts) has(port int) bool {
	return slices.ContainsFunc(t, func(p takenPort) bool { return p.port == port })
}

func (t *takenPorts) add(port int, container, evidence string) {
	if !t.has(port) {
		*t = append(*t, takenPort{port, container, evidence})
	}
}

// otlpServers are images that listen on OTLP's ports without declaring them, by the
// end of their repository.
var otlpServers = []string{
	"jaegertracing/all-in-one", "jaegertracing/jaeger", "jaegertracing/opentelemetry-all-in-one", "grafana/tempo", "grafana/otel-lgtm",
	"hyperdx/hyperdx-all-in-one", "hyperdx/hyperdx-local", "signoz/signoz-otel-collector", "openzipkin/zipkin-otel", "honeycombio/refinery",
	"victoriametrics/victoria-traces",
}

// listeningPod is the part of a pod that shows what its containers listen on.
type listeningPod struct {
	Spec struct {
		Containers     []listeningContainer `json:"containers"`
		InitContainers []listeningContainer `json:"initContainers"`
	} `json:"spec"`
}

type listeningContainer struct {
	Name          string   `json:"name"`
	Image         string   `json:"image"`
	RestartPolicy string   `json:"restartPolicy"`
	Command       []string `json:"command"`
	Args          []string `json:"args"`
	Ports         []port   `json:"ports"`
	Env           []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
	LivenessProbe  probe `json:"livenessProbe"`
	ReadinessProbe probe `json:"readinessProbe"`
	StartupProbe   probe `json:"startupProbe"`
}

type probe struct {
	HTTPGet   probeAction `json:"httpGet"`
	TCPSocket probeAction `json:"tcpSocket"`
	GRPC      probeAction `json:"grpc"`
}

type probeAction struct {
	Port jsontext.Value `json:"port"` // a number or a port's name
}

// takenPorts returns the ports that the pod listens on, as far as it shows: images,
// declared ports, probes, arguments and variables. Most pods mention none of the
// sidecar's ports and are not looked at again.
func (w *wiring) takenPorts() (taken takenPorts) {
	mentioned := mentionsPort(w.raw)
	for _, list := range [...][]container{w.pod.Spec.Containers, w.pod.Spec.InitContainers} {
		for i := range list {
			mentioned = mentioned || isOTLPServer(&list[i])
		}
	}
	if !mentioned {
		return nil
	}
	var p listeningPod
	_ = json.Unmarshal(w.raw, &p, lenient) // a field of another type ends it; what was read before counts
	containers := p.Spec.Containers
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == "Always" {
			containers = append(containers, c)
		}
	}
	containers = slices.DeleteFunc(containers, func(c listeningContainer) bool { return c.Name == sidecarapi.ContainerName })
	for i := range containers {
		w.addTaken(&taken, &containers[i])
	}
	w.addExported(&taken, containers)
	return taken
}

func isOTLPServer(c *container) bool { return isOTLPImage(c.Image) }

func isOTLPImage(image string) bool {
	repository := imageRepository(image)
	for _, server := range otlpServers {
		if before, ok := strings.CutSuffix(repository, server); ok && (before == "" || before[len(before)-1] == '/') {
			return true
		}
	}
	return false
}

// mentionsPort reports whether text has the last digits of one of the sidecar's ports.
func mentionsPort(text []byte) bool {
	return bytes.Contains(text, []byte("4317")) || bytes.Contains(text, []byte("4318")) || bytes.Contains(text, []byte("8888"))
}

func (w *wiring) addTaken(taken *takenPorts, c *listeningContainer) {
	if isOTLPImage(c.Image) {
		taken.add(sidecarapi.PortOTLPGRPC, c.Name, "image "+imageRepository(c.Image))
		taken.add(sidecarapi.PortOTLPHTTP, c.Name, "image "+imageRepository(c.Image))
	}
	for _, p := range c.Ports {
		if isTCP(p) && isCandidate(p.ContainerPort) {
			taken.add(p.ContainerPort, c.Name, "declared port")
		}
	}
	for _, p := range []probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		for _, a := range []probeAction{p.HTTPGet, p.TCPSocket, p.GRPC} {
			if n, ok := candidate(strings.Trim(string(a.Port), `"`)); ok {
				taken.add(n, c.Name, "probe")
			}
		}
	}
	arguments := append(slices.Clone(c.Command), c.Args...)
	for i, argument := range arguments {
		previous := ""
		if i > 0 {
			previous = arguments[i-1]
		}
		for _, n := range listened(argument, previous) {
			taken.add(n, c.Name, "argument")
		}
	}
	for _, v := range c.Env {
		if isDestination(v.Name) {
			continue
		}
		for _, n := range listened(v.Name+"="+v.Value, "") {
			taken.add(n, c.Name, "variable "+v.Name)
		}
	}
}

// addExported adds ports of OTLP endpoints on loopback that the user set, if the pod
// has another container that can be the one that listens.
func (w *wiring) addExported(taken *takenPorts, containers []listeningContainer) {
	exports := func(c listeningContainer) (port int, variable string) {
		for _, v := range c.Env {
			if !strings.HasPrefix(v.Name, "OTEL_EXPORTER_OTLP_") || !strings.HasSuffix(v.Name, "ENDPOINT") || w.setEarlier(c.Name, v.Name) {
				continue
			}
			if m := loopbackAddress.FindStringSubmatch(v.Value); m != nil {
				if n, ok := candidate(m[1]); ok {
					return n, v.Name
				}
			}
		}
		return 0, ""
	}
	for _, c := range containers {
		n, variable := exports(c)
		if n == 0 {
			continue
		}
		for _, other := range containers {
			if m, _ := exports(other); other.Name != c.Name && m != n && !w.engine.foreign[other.Name] {
				taken.add(n, c.Name, "variable "+variable)
			}
		}
	}
}

// setEarlier reports whether an earlier wiring set a variable of a container.
func (w *wiring) setEarlier(container, variable string) bool {
	c, ok := w.previous.container(container)
	return ok && !slices.Contains(c.Kept, variable)
}

var (
	loopbackAddress = regexp.MustCompile(`^(?:https?://)?(?:localhost|127\.0\.0\.1|\[::1\]):(\d{4,5})(?:/|$)`)
	// anyAddress is an address on all interfaces: :4317, 0.0.0.0:4317, [::]:4317, *:4317.
	anyAddress = regexp.MustCompile(`(?:^|[=,;"'\s/@])(?:0\.0\.0\.0|\[::\]|\[\]|\*)?:(\d{4,5})(?:$|[/,;"'\s])`)
	// listenSetting is a setting whose name says that its value is listened on.
	listenSetting = regexp.MustCompile(`(?i)(?:listen|bind|receiver|host[-_.]?port|_port|-port|\.port|^-*port|addr)[^=]*=?\s*(?:\S*[:@/=])?"?(\d{4,5})"?$`)
	// portFlag is a flag whose value, a port, is the next argument.
	portFlag = regexp.MustCompile(`(?i)^-+(?:[a-z0-9]+[._-])*(?:port|listen|bind|addr)(?:[a-z0-9._-]*)$`)
	// remoteAddress is the address of another host, which the container sends to.
	remoteAddress = regexp.MustCompile(`(?i)://?(?:[a-z][a-z0-9-]*\.)*[a-z][a-z0-9-]*:\d|[=@](?:[a-z][a-z0-9-]*\.)*[a-z][a-z0-9-]*:\d`)
)

// listened returns the ports that a setting, in the form of name=value or of a
// command-line argument, listens on.
func listened(setting, previous string) (found []int) {
	if !mentionsPort([]byte(setting)) {
		return nil
	}
	add := func(text string) {
		if n, ok := candidate(text); ok {
			found = append(found, n)
		}
	}
	for _, m := range anyAddress.FindAllStringSubmatch(setting, -1) {
		add(m[1])
	}
	local := strings.NewReplacer("localhost", "127.0.0.1", "0.0.0.0", "127.0.0.1").Replace(setting)
	if m := listenSetting.FindStringSubmatch(local); m != nil && !remoteAddress.MatchString(local) {
		add(m[1])
	}
	if portFlag.MatchString(previous) {
		add(setting[strings.LastIndexByte(setting, ':')+1:])
	}
	return found
}

// isDestination reports whether a variable says where telemetry is sent to. The
// Prometheus exporter is the one of OpenTelemetry's exporters that listens.
func isDestination(variable string) bool {
	exporter, ok := strings.CutPrefix(variable, "OTEL_EXPORTER_")
	return ok && !strings.HasPrefix(exporter, "PROMETHEUS_") || strings.HasPrefix(variable, "NOVAWIRE_")
}

// candidate returns the port that a text is, if it is one that the sidecar can use.
func candidate(text string) (port int, ok bool) {
	port, err := strconv.Atoi(text)
	return port, err == nil && isCandidate(port)
}

// isCandidate reports whether a port is one that the sidecar can use: a default port
// or one that it moves to.
func isCandidate(port int) bool {
	switch port % 10000 {
	case sidecarapi.PortOTLPGRPC, sidecarapi.PortOTLPHTTP:
		return true
	}
	return port%10000 == sidecarapi.MetricsPort%10000 && port >= sidecarapi.MetricsPort
}

func isTCP(p port) bool { return p.Protocol == "" || p.Protocol == "TCP" }

// imageRepository returns an image without its tag and digest.
func imageRepository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	slash := strings.LastIndexByte(image, '/')
	if colon := strings.IndexByte(image[slash+1:], ':'); colon >= 0 {
		return image[:slash+1+colon]
	}
	return image
}

package examples

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nova/novawire/internal/testing/pgtest"
)

// Without the environment a service works, says once that it exports nothing, and
// passes no context on.
func TestRust_WithoutEnvironment(t *testing.T) {
	n := startNova(t, nil, nil)
	n.feed(t, http.StatusOK, sampled)
	for _, p := range []*process{n.user, n.content} {
		said := p.find(t, "", "a line says why nothing is exported", 1, func(l line) bool {
			return l.Fields["message"] == "traces are not exported: OTEL_EXPORTER_OTLP_ENDPOINT is not set"
		})
		if len(said) != 1 {
			t.Errorf("said %d times, want once: %v", len(said), p.log(""))
		}
		if got := p.log(callersTrace); len(got) > 0 {
			t.Errorf("lines of a trace: %v", got)
		}
		if p.metric(t, "http_server_requests_total") == "0" {
			t.Error("requests are not counted")
		}
	}
}

// A backend that does not answer costs no request, and the end of the process little.
func TestRust_BackendThatDoesNotAnswer(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			nobody := "http://" + freeAddress(t)
			n := startNova(t, exporting("user-service", protocol, nobody), exporting("content-service", protocol, nobody))
			for range 3 {
				n.feed(t, http.StatusOK, sampled)
			}
			pgtest.Eventually(t, "a line says so", patience, func() bool {
				return slices.ContainsFunc(n.user.log(""), func(l line) bool {
					return strings.Contains(l.text, "opentelemetry") && (l.Level == "ERROR" || l.Level == "WARN")
				})
			})
			if code := n.user.end(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d, want 0: %v", code, n.user.log(""))
			}
		})
	}
}

// A service that is asked to end answers a request that runs, says that it is not ready
// while it takes late ones, and exports what it has buffered. The batch processor's delay
// is an hour: only the end can have flushed.
func TestRust_SIGTERM(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			c := startCollector(t)
			endpoint := map[string]string{"grpc": c.grpc, "http/protobuf": c.http}[protocol]
			later := "OTEL_BSP_SCHEDULE_DELAY=3600000"
			// Long enough for this test to look, also on a busy machine.
			n := startNova(t, append(exporting("user-service", protocol, endpoint), later, "SHUTDOWN_DELAY=20"), append(exporting("content-service", protocol, endpoint), later))
			n.feed(t, http.StatusOK, sampled)
			if spans := c.ofTrace(callersTrace); len(spans) > 0 {
				t.Fatalf("exported before the end: %+v", spans)
			}
			if err := n.user.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			pgtest.Eventually(t, "it is not ready", patience, func() bool {
				status, _, err := n.user.get("/ready")
				return err == nil && status == http.StatusServiceUnavailable
			})
			n.feed(t, http.StatusOK)
			for _, p := range []*process{n.user, n.content} {
				if code := p.end(syscall.SIGTERM); code != 0 {
					t.Errorf("exit code %d, want 0: %v", code, p.log(""))
				}
			}
			if got := tree(c.ofTrace(callersTrace)); len(got) != len(wantTree) {
				t.Errorf("%d spans were exported, want %d: %v", len(got), len(wantTree), got)
			}
		})
	}
}

// A wrong delay is a line, not the end of a service.
func TestRust_WrongShutdownDelay(t *testing.T) {
	cargo(t, "build", "--locked", "--workspace")
	p := start(t, "content-service", "DATABASE_URL=postgres://nova@127.0.0.1:1/nova_content", "SHUTDOWN_DELAY=soon")
	p.find(t, "", "a line with the value that is used", 1, func(l line) bool {
		return l.Level == "WARN" && l.Fields["message"] == `SHUTDOWN_DELAY: "soon" is no number of seconds, 2 is used`
	})
}

// A wrong setting ends the program with one line, which names the variable and holds no
// secret.
func TestRust_WrongSettings(t *testing.T) {
	cargo(t, "build", "--locked", "--workspace")
	database := "DATABASE_URL=postgres://nova:s3cret@127.0.0.1:1/nova_content"
	cases := map[string]struct {
		service     string
		arguments   []string
		environment []string
		want        string
	}{
		"no database":               {"content-service", nil, nil, "DATABASE_URL is not set"},
		"a database that is no URL": {"content-service", nil, []string{"DATABASE_URL=postgres://nova:s3cret@127.0.0.1:port/x"}, "DATABASE_URL is no URL"},
		"an unknown argument":       {"content-service", []string{"migrat"}, []string{database}, "allowed is migrate"},
		"a database that is away":   {"content-service", []string{"migrate"}, []string{database}, "onnection refused"},
		"no cache":                  {"user-service", nil, []string{database}, "REDIS_URL is not set"},
		"a cache that is no URL":    {"user-service", nil, []string{database, "REDIS_URL=redis//:s3cret@x"}, "REDIS_URL is no URL"},
		"no content-service":        {"user-service", nil, []string{database, "REDIS_URL=redis://127.0.0.1:1"}, "CONTENT_SERVICE is not set"},
		"no address to listen on":   {"content-service", nil, []string{database, "LISTEN=nowhere"}, "listen on nowhere"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			output, code := run(t, c.service, c.arguments, c.environment...)
			errors := strings.Count(output, `"level":"ERROR"`)
			if code != 1 || errors != 1 || !strings.Contains(output, c.want) || strings.Contains(output, "s3cret") {
				t.Errorf("exit code %d, %d errors, want 1, 1 and %q without the password:\n%s", code, errors, c.want, output)
			}
		})
	}
}

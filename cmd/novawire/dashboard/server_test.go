package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fixed answers each question with itself.
type fixed struct{ err error }

func (f fixed) Status(context.Context) (any, error) { return "status", f.err }

func (f fixed) Pods(_ context.Context, of Workload) (any, error) { return of, f.err }

func (f fixed) Explain(_ context.Context, of Workload) (any, error) { return of, f.err }

func ask(t *testing.T, source Source, method, target string, headers map[string]string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8468"+target, nil)
	for key, value := range headers {
		if r.Header.Set(key, value); key == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	Handler(source).ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestHandler(t *testing.T) {
	const explain = "/api/explain?namespace=nova&kind=Pod&name=feed"
	for name, c := range map[string]struct {
		method, target string
		headers        map[string]string
		err            error
		status         int
		want           string // in the body
	}{
		"the page":                   {"GET", "/", nil, nil, 200, "<title>Novawire</title>"},
		"its script":                 {"GET", "/app.js", nil, nil, 200, "api/status"},
		"a file that does not exist": {"GET", "/etc/passwd", nil, nil, 404, ""},
		"a status":                   {"GET", "/api/status", nil, nil, 200, `"status"`},
		"pods of a workload":         {"GET", "/api/pods?namespace=nova&kind=Deployment&name=feed", nil, nil, 200, `{"Namespace":"nova","Kind":"Deployment","Name":"feed"}`},
		"pods of nothing":            {"GET", "/api/pods?namespace=nova", nil, nil, 400, "name a workload"},
		"localhost on another port, as of a tunnel": {"GET", "/api/status", map[string]string{"Host": "localhost:9000"}, nil, 200, ""},
		"loopback of IPv6":                          {"GET", "/api/status", map[string]string{"Host": "[::1]:8468"}, nil, 200, ""},
		"a name that resolves to this machine":      {"GET", "/", map[string]string{"Host": "evil.example:8468"}, nil, 403, "127.0.0.1"},
		"a name that begins like loopback":          {"GET", "/api/status", map[string]string{"Host": "127.0.0.1.evil.example"}, nil, 403, "127.0.0.1"},
		"no host":                                   {"GET", "/api/status", map[string]string{"Host": ""}, nil, 403, ""},
		"a write":                                   {"POST", explain, nil, nil, 405, "read-only"},
		"a deletion of the page":                    {"DELETE", "/", nil, nil, 405, "read-only"},
		"a script of another site":                  {"GET", explain, map[string]string{"Sec-Fetch-Site": "cross-site"}, nil, 403, "another site"},
		"a script of another port":                  {"GET", "/api/status", map[string]string{"Sec-Fetch-Site": "same-site"}, nil, 403, "another site"},
		"a script of the page":                      {"GET", explain, map[string]string{"Sec-Fetch-Site": "same-origin"}, nil, 200, `"Pod"`},
		"a link from another site to the page":      {"GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, nil, 200, "Novawire"},
		"an error":                                  {"GET", "/api/status", nil, errors.New("of two\nlines"), 502, `{"error":"of two lines"}`},
		"an error with a status":                    {"GET", explain, nil, &Error{Status: 404, Err: errors.New("gone")}, 404, `{"error":"gone"}`},
	} {
		t.Run(name, func(t *testing.T) {
			answer, body := ask(t, fixed{c.err}, c.method, c.target, c.headers)
			if answer.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s", answer.StatusCode, body)
			}
			policy := answer.Header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self'; ") || strings.Contains(policy, "unsafe") ||
				answer.Header.Get("X-Content-Type-Options") != "nosniff" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("headers: %v", answer.Header)
			}
		})
	}
}

// What has not changed is not sent again.
func TestHandler_Unchanged(t *testing.T) {
	first, _ := ask(t, fixed{}, "GET", "/api/status", nil)
	tag := first.Header.Get("ETag")
	again, body := ask(t, fixed{}, "GET", "/api/status", map[string]string{"If-None-Match": tag})
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("%d %s", again.StatusCode, body)
	}
	if other, _ := ask(t, fixed{}, "GET", "/api/status", map[string]string{"If-None-Match": `"other"`}); other.StatusCode != http.StatusOK {
		t.Errorf("another tag: %d", other.StatusCode)
	}
}

// The page is the files themselves: no script, style or event in HTML, and no other server.
func TestStatic(t *testing.T) {
	page, err := static.ReadFile("static/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []string{"<style", "style=", " onclick", " onload", "javascript:", "//", "<script>"} {
		if strings.Contains(strings.ReplaceAll(string(page), "<!doctype", ""), refused) {
			t.Errorf("index.html has %s", refused)
		}
	}
	files, err := static.ReadDir("static")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, refused := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "url(", "@import", "localStorage"} {
			if strings.Contains(string(text), refused) {
				t.Errorf("%s has %s", f.Name(), refused)
			}
		}
	}
}

// waiting does not answer before its context ends.
type waiting struct {
	fixed
	asked chan struct{}
}

func (w waiting) Status(ctx context.Context) (any, error) {
	close(w.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestServe_EndsWithTheContextWhileItIsAsked(t *testing.T) {
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	source, ended := waiting{asked: make(chan struct{})}, make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, source) }()
	answer := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + listener.Addr().String() + "/api/status")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer r.Body.Close()
		var body map[string]string
		_ = json.NewDecoder(r.Body).Decode(&body)
		answer <- body["error"]
	}()
	<-source.asked
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if got := <-answer; got != "context canceled" {
		t.Errorf("answered %q", got)
	}
}

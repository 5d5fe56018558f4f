// Package dashboard serves the page of novawire dashboard: files that are embedded, and the
// answers of a [Source] as JSON. It reads only, and answers only requests that were
// addressed to this machine.
package dashboard

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

// Workload names a workload of the cluster, or a pod: its kind is Pod.
type Workload struct{ Namespace, Kind, Name string }

// Source answers what the page shows. The answers are encoded as JSON.
type Source interface {
	// Status returns what the page shows before anything is opened.
	Status(ctx context.Context) (any, error)
	// Pods returns the pods of a workload.
	Pods(ctx context.Context, of Workload) (any, error)
	// Explain returns why the pods of a workload are, or are not, wired.
	Explain(ctx context.Context, of Workload) (any, error)
}

// contentPolicy lets the page load nothing but its own files, run no script that is part
// of a text, and be framed by nobody.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Handler serves the page.
func Handler(source Source) http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the name is a constant
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, r *http.Request) {
		answer, err := source.Status(r.Context())
		write(w, r, answer, err)
	})
	mux.HandleFunc("GET /api/pods", ofWorkload(source.Pods))
	mux.HandleFunc("GET /api/explain", ofWorkload(source.Explain))
	return protect(mux)
}

// ofWorkload answers a request that names a workload.
func ofWorkload(ask func(context.Context, Workload) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		of := Workload{Namespace: query.Get("namespace"), Kind: query.Get("kind"), Name: query.Get("name")}
		if of.Namespace == "" || of.Kind == "" || of.Name == "" {
			refuse(w, http.StatusBadRequest, r.URL.Path+": name a workload: ?namespace=NAMESPACE&kind=KIND&name=NAME")
			return
		}
		answer, err := ask(r.Context(), of)
		write(w, r, answer, err)
	}
}

// protect refuses what is not a read of this page by itself. A site whose name was made to
// resolve to 127.0.0.1 (DNS rebinding) is known by its Host.
func protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		switch {
		case !isLoopback(r.Host):
			refuse(w, http.StatusForbidden, "this page is at http://127.0.0.1 and http://localhost only")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, r.Method+": the dashboard is read-only: use GET")
		case strings.HasPrefix(r.URL.Path, "/api/") && isOfOtherSite(r):
			refuse(w, http.StatusForbidden, "another site may not ask")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host == "::1"
}

// isOfOtherSite reports whether a browser says that a page of another origin asks. Programs
// such as curl say nothing.
func isOfOtherSite(r *http.Request) bool {
	from := r.Header.Get("Sec-Fetch-Site")
	return from != "" && from != "same-origin" && from != "none"
}

// write answers with JSON. An answer that the page has already is not sent again.
func write(w http.ResponseWriter, r *http.Request, answer any, err error) {
	if err != nil {
		status := http.StatusBadGateway
		if known := (*Error)(nil); errors.As(err, &known) {
			status = known.Status
		}
		refuse(w, status, err.Error())
		return
	}
	text, err := json.Marshal(answer)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "encode the answer: "+err.Error())
		return
	}
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the page has left
}

// Error is an error of a [Source] with a status code of HTTP.
type Error struct {
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error without its status.
func (e *Error) Unwrap() error { return e.Err }

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": strings.Join(strings.Fields(text), " ")})
}

// shutdownTimeout bounds how long open requests keep the program from ending.
const shutdownTimeout = 2 * time.Second

// Serve answers on a listener until the context ends.
func Serve(ctx context.Context, listener net.Listener, source Source) error {
	server := &http.Server{Handler: Handler(source), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close()
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

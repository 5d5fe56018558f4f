package ledger

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAsker(t *testing.T) {
	const ledger = `"ledger":{"traces":{"accepted":3}}}`
	cases := map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		final  bool
		err    string // "": none
	}{
		"a running sidecar":                      {write(`{"pod":"u1","running":true,` + ledger), false, ""},
		"one that has ended":                     {write(`{"pod":"u1",` + ledger), true, ""},
		"one that says it runs is not final":     {write(`{"pod":"u1","running":true,` + ledger), true, "it is not final"},
		"another pod that was given the address": {write(`{"pod":"u2",` + ledger), false, `pod "u2" answers`},
		"something that is no sidecar":           {write(`<html>`), false, "read ledger: invalid character"},
		"an answer without end":                  {func(w http.ResponseWriter, _ *http.Request) { write(strings.Repeat(" ", 1<<20)+ledger)(w, nil) }, false, "read ledger: unexpected end"},
		"an error":                               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, false, "404 Not Found"},
		"a redirect, which would lead elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
		}, false, "302 Found"},
		"a connection that ends before an answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true, "EOF"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(c.answer))
			defer server.Close()
			a := newAsker()
			ask := a.current
			if c.final {
				ask = a.final
			}
			m, err := ask(t.Context(), "u1", strings.TrimPrefix(server.URL, "http://"))
			switch {
			case c.err == "" && (err != nil || m.Ledger["traces"].Accepted != 3):
				t.Errorf("%+v, %v", m, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// Thousands of pods can lose their objects at once: few are asked at a time.
func TestAsker_BoundsWhoWaits(t *testing.T) {
	a := newAsker()
	for range maxFinals {
		a.finals <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.final(ctx, "u1", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("it did not wait: %v", err)
	}
}

func write(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

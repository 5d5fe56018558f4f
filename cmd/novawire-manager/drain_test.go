package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
)

// A client reuses its connection until shutdown starts, and gets one more response on it.
func TestDrainer(t *testing.T) {
	var drain drainer
	server := httptest.NewUnstartedServer(drain.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	reused := func() (old bool) {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { old = c.Reused }}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.ProtoMajor != 2 {
			t.Fatalf("HTTP/%d", response.ProtoMajor)
		}
		return old
	}
	if reused() || !reused() {
		t.Fatal("a connection is not kept, or not new")
	}
	ended, end := context.WithCancel(t.Context())
	later := drain.delayedContext(ended)
	end()
	eventually(t, "drain", drain.started.Load)
	if later.Err() != nil {
		t.Error("the server ends at once")
	}
	reused() // the answer says that the connection closes
	eventually(t, "on a connection of its own", func() bool { return !reused() })
	eventually(t, "over", func() bool { return later.Err() != nil })
}

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
)

// An API server's connection is used for everything until the program is told to
// end, and for one answer more: then it goes elsewhere.
func TestAClientLeavesWithTheNextAnswer(t *testing.T) {
	var leaving drainer
	server := httptest.NewUnstartedServer(leaving.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
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
	later := leaving.delayedContext(ended)
	end()
	eventually(t, "leaving", leaving.started.Load)
	if later.Err() != nil {
		t.Error("the server ends at once")
	}
	reused() // the answer says that the connection closes
	eventually(t, "on a connection of its own", func() bool { return !reused() })
	eventually(t, "over", func() bool { return later.Err() != nil })
}

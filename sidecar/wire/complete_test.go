package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

func TestAttributes_Complete(t *testing.T) {
	ours := NewAttributes([]Attribute{{"service.name", "cart"}, {"k8s.pod.name", "cart-1"}})
	cases := map[string]struct{ has, want map[string]any }{
		"an empty resource":            {nil, map[string]any{"service.name": "cart", "k8s.pod.name": "cart-1"}},
		"a resource with its own name": {map[string]any{"service.name": "checkout"}, map[string]any{"service.name": "checkout", "k8s.pod.name": "cart-1"}},
		"the placeholder of an SDK":    {map[string]any{"service.name": "unknown_service:java"}, map[string]any{"service.name": "cart", "k8s.pod.name": "cart-1"}},
		"keeps an empty value":         {map[string]any{"k8s.pod.name": ""}, map[string]any{"service.name": "cart", "k8s.pod.name": ""}},
		"keeps a value of another kind": {
			map[string]any{"service.name": map[string]any{"unknown_service": true}},
			map[string]any{"service.name": map[string]any{"unknown_service": true}, "k8s.pod.name": "cart-1"},
		},
		"a placeholder of another key": {map[string]any{"k8s.pod.name": "unknown_service"}, map[string]any{"service.name": "cart", "k8s.pod.name": "unknown_service"}},
		"keeps attributes of others":   {map[string]any{"host.id": int64(7)}, map[string]any{"service.name": "cart", "k8s.pod.name": "cart-1", "host.id": int64(7)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			td := ptrace.NewTraces()
			r := td.ResourceSpans().AppendEmpty()
			if err := r.Resource().Attributes().FromRaw(c.has); err != nil {
				t.Fatal(err)
			}
			body, _ := new(ptrace.ProtoMarshaler).MarshalTraces(td)
			if diff := cmp.Diff([]map[string]any{c.want}, resourcesOf(t, ours.Complete(nil, body))); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
		})
	}
}

func resourcesOf(t testing.TB, body []byte) (all []map[string]any) {
	t.Helper()
	td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range td.ResourceSpans().All() {
		all = append(all, r.Resource().Attributes().AsRaw())
	}
	return all
}

// What a request may hold beside what encoders of today write.
func TestAttributes_CompleteOddForms(t *testing.T) {
	pair := func(key, value string) []byte {
		return lengthDelimited(1, append(lengthDelimited(1, []byte(key)), lengthDelimited(2, lengthDelimited(1, []byte(value)))...))
	}
	resource := func(fields ...[]byte) []byte { return lengthDelimited(1, join(fields...)) }
	span := lengthDelimited(2, lengthDelimited(5, []byte("a")))
	ours := NewAttributes([]Attribute{{"k", "v"}})
	cases := map[string]struct {
		request []byte
		want    []map[string]any
		spans   int
	}{
		"no resource in it":     {lengthDelimited(1, lengthDelimited(2, span)), []map[string]any{{"k": "v"}}, 1},
		"a resource in pieces":  {lengthDelimited(1, join(resource(pair("a", "1")), lengthDelimited(2, span), resource(pair("k", "2")))), []map[string]any{{"a": "1", "k": "2"}}, 1},
		"a resource at the end": {lengthDelimited(1, join(lengthDelimited(2, span), resource(pair("a", "1")))), []map[string]any{{"a": "1", "k": "v"}}, 1},
		"scopes in their old place, beside those in the new": {
			lengthDelimited(1, join(lengthDelimited(oldScopes, span), lengthDelimited(2, span))), []map[string]any{{"k": "v"}}, 2,
		},
		"several resources": {join(lengthDelimited(1, resource(pair("k", "1"))), lengthDelimited(1, nil)), []map[string]any{{"k": "1"}, {"k": "v"}}, 0},
		"a key twice in an attribute: the last counts": {
			lengthDelimited(1, resource(lengthDelimited(1, join(lengthDelimited(1, []byte("a")), lengthDelimited(1, []byte("k")))))), []map[string]any{{"k": nil}}, 0,
		},
		"tags in more bytes than they need": {
			join(protowire.AppendBytes(overlong(1, protowire.BytesType), join(
				protowire.AppendBytes(overlong(1, protowire.BytesType), pair("a", "1")),
				protowire.AppendBytes(overlong(oldScopes, protowire.BytesType), protowire.AppendBytes(overlong(2, protowire.BytesType), span[2:])),
			))), []map[string]any{{"a": "1", "k": "v"}}, 1,
		},
		"nothing": {nil, nil, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if sum, err := Scan(ledger.Traces, c.request); err != nil || sum.Items != c.spans || sum.Resources != len(c.want) {
				t.Fatalf("scanned %+v, %v", sum, err)
			}
			got := ours.Complete(nil, c.request)
			if diff := cmp.Diff(c.want, resourcesOf(t, got)); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
			if n := countByPdata(t, ledger.Traces, got); n != c.spans {
				t.Errorf("%d spans, want %d", n, c.spans)
			}
		})
	}
}

// The name of a service is read as decoders read it.
func TestAttributes_CompletePlaceholderInOddForms(t *testing.T) {
	placeholder, other := lengthDelimited(1, []byte("unknown_service")), []byte{0x18, 7}
	ours := NewAttributes([]Attribute{{"service.name", "cart"}})
	cases := map[string]struct {
		values [][]byte // of the attribute: decoders merge them
		want   any
	}{
		"before a field of a later OTLP":        {[][]byte{join(placeholder, lengthDelimited(99, nil))}, "cart"},
		"in the first of several values":        {[][]byte{placeholder, nil}, "cart"},
		"in the last of several values":         {[][]byte{other, placeholder}, "cart"},
		"replaced by another value":             {[][]byte{join(placeholder, other)}, int64(7)},
		"replaced by the last of the values":    {[][]byte{placeholder, other}, int64(7)},
		"that replaces another value":           {[][]byte{join(other, placeholder)}, "cart"},
		"replaced by an empty text":             {[][]byte{placeholder, lengthDelimited(1, nil)}, ""},
		"in a list, which is no name":           {[][]byte{lengthDelimited(5, lengthDelimited(1, placeholder))}, []any{"unknown_service"}},
		"before a field of a later OTLP, twice": {[][]byte{join(placeholder, lengthDelimited(99, nil)), lengthDelimited(99, nil)}, "cart"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			attribute := lengthDelimited(1, []byte("service.name"))
			for _, v := range c.values {
				attribute = append(attribute, lengthDelimited(2, v)...)
			}
			request := lengthDelimited(1, lengthDelimited(1, lengthDelimited(1, attribute)))
			if diff := cmp.Diff([]map[string]any{{"service.name": c.want}}, resourcesOf(t, ours.Complete(nil, request))); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
		})
	}
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// A completed request holds what it held: pdata, which this package does not use, reads
// the same from it, but for the attributes. A field of a later OTLP is kept.
func TestAttributes_CompleteKeepsAllElse(t *testing.T) {
	ours := NewAttributes([]Attribute{{"a key", "a value"}})
	for signal, request := range samples(t) {
		t.Run(signal.String(), func(t *testing.T) {
			if diff := cmp.Diff(toJSON(t, signal, request), toJSON(t, signal, new(Attributes).Complete(nil, request))); diff != "" {
				t.Errorf("without attributes (-want +got):\n%s", diff)
			}
			got := ours.Complete(nil, request)
			if len(got) > len(request)+3*ours.Growth() {
				t.Errorf("%d bytes grew to %d: by more than %d a resource", len(request), len(got), ours.Growth())
			}
			if sum, err := Scan(signal, got); err != nil || sum.Items != countByPdata(t, signal, request) {
				t.Errorf("completed: %+v, %v", sum, err)
			}
		})
	}
	later := join(lengthDelimited(99, []byte("later")), lengthDelimited(1, lengthDelimited(98, []byte("later too"))))
	want := join(lengthDelimited(99, []byte("later")), lengthDelimited(1, join(lengthDelimited(1, nil), lengthDelimited(98, []byte("later too")))))
	if got := new(Attributes).Complete(nil, later); string(got) != string(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A request of resources that each grow stays within what its limits say it grows to.
func TestAttributes_Growth(t *testing.T) {
	for _, bytes := range []int{0, 1, 100, 120, 127, 128, 200, 16_300, 16_383, 16_384, 70_000} {
		ours := NewAttributes([]Attribute{{"key", string(make([]byte, bytes))}})
		for _, more := range []int{0, 120, 127, 16_383} {
			request := lengthDelimited(1, lengthDelimited(3, make([]byte, more)))
			if grown := len(ours.Complete(nil, request)) - len(request); grown > ours.Growth() || grown < bytes {
				t.Errorf("an attribute of %d bytes, a resource of %d: grew by %d, want at most %d", bytes, more, grown, ours.Growth())
			}
		}
	}
}

func BenchmarkComplete(b *testing.B) {
	request := samples(b)[ledger.Traces]
	ours := NewAttributes([]Attribute{{"k8s.pod.name", "cart-1"}, {"k8s.namespace.name", "shop"}})
	b.SetBytes(int64(len(request)))
	var to []byte
	for b.Loop() {
		to = ours.Complete(to[:0], request)
	}
}

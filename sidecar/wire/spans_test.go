package wire

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/ledger"
)

// wantedKeys are the keys of the tests, in the order of their places.
var wantedKeys = []string{"service.name", "k8s.pod.name", ""}

func placeOf(key []byte) int { return slices.Index(wantedKeys, string(key)) }

func newTestReader() *SpanReader {
	return NewSpanReader(len(wantedKeys), placeOf, len(wantedKeys), placeOf)
}

func spansIn(request []byte) (all []Span) {
	newTestReader().Read(request, func(s *Span) {
		one := *s
		one.Attributes, one.Resource = cloneValues(s.Attributes), cloneValues(s.Resource)
		one.TraceID, one.SpanID, one.TraceState = bytes.Clone(s.TraceID), bytes.Clone(s.SpanID), bytes.Clone(s.TraceState)
		all = append(all, one)
	})
	return all
}

func cloneValues(values []Value) []Value {
	values = slices.Clone(values)
	for i, v := range values {
		values[i] = Value{Kind: v.Kind}
		switch v.Kind {
		case Text:
			values[i].Text = bytes.Clone(v.Text)
		case Integer:
			values[i].Number = v.Number
		case Missing, Other:
		}
	}
	return values
}

// Whatever form a request has, the reader finds in it what OTLP's own Go code finds.
func TestSpanReader_Differential(t *testing.T) {
	const cases = 2000
	spans := 0
	for seed := range uint64(cases) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 2)), old: seed%2 == 0}
		sent, today := g.message(newOfficial(ledger.Traces).ProtoReflect().Descriptor(), 0)
		if _, err := Scan(ledger.Traces, sent); err != nil {
			t.Fatal(err)
		}
		official := new(collector.ExportTraceServiceRequest)
		if err := proto.Unmarshal(today, official); err != nil {
			t.Fatal(err)
		}
		got, want := spansIn(sent), officialSpans(official)
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Fatalf("seed %d: %x: -want +got:\n%s", seed, sent, diff)
		}
		spans += len(got)
	}
	if spans < cases {
		t.Errorf("only %d spans were compared", spans)
	}
}

func officialSpans(request *collector.ExportTraceServiceRequest) (all []Span) {
	for i, r := range request.GetResourceSpans() {
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				all = append(all, Span{
					TraceID: s.GetTraceId(), SpanID: s.GetSpanId(), TraceState: []byte(s.GetTraceState()), Kind: int32(s.GetKind()),
					Start: s.GetStartTimeUnixNano(), End: s.GetEndTimeUnixNano(), Failed: s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR,
					Attributes: officialValues(s.GetAttributes()), Resource: officialValues(r.GetResource().GetAttributes()), ResourceIndex: i,
				})
			}
		}
	}
	return all
}

func officialValues(attributes []*common.KeyValue) []Value {
	values := make([]Value, len(wantedKeys))
	for _, a := range attributes {
		i := slices.Index(wantedKeys, a.GetKey())
		if i < 0 || values[i].Kind != Missing {
			continue
		}
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			values[i] = Value{Kind: Text, Text: []byte(v.StringValue)}
		case *common.AnyValue_IntValue:
			values[i] = Value{Kind: Integer, Number: v.IntValue}
		default:
			values[i] = Value{Kind: Other}
		}
	}
	return values
}

func TestSpanReader_Forms(t *testing.T) {
	name := appendBytes(appendBytes(nil, 1, []byte("service.name")), 2, appendBytes(nil, 1, []byte("shop")))
	resource := appendBytes(nil, 1, appendBytes(nil, 1, name))
	span := appendBytes(nil, 2, protowire.AppendVarint(protowire.AppendTag(nil, 6, protowire.VarintType), 3))
	for form, content := range map[string][]byte{
		"the resource is before the spans": slices.Concat(resource, appendBytes(nil, scopes, span)),
		"the resource is behind the spans": slices.Concat(appendBytes(nil, scopes, span), resource),
		"scopes are in their old place":    slices.Concat(resource, appendBytes(nil, oldScopes, span)),
	} {
		t.Run(form, func(t *testing.T) {
			got := spansIn(appendBytes(nil, 1, content))
			if len(got) != 1 || got[0].Kind != 3 || string(got[0].Resource[0].Text) != "shop" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestReadResources(t *testing.T) {
	named := func(name string) []byte {
		return appendBytes(nil, 1, appendBytes(nil, 1, appendBytes(nil, 1, textPair("service.name", name))))
	}
	got := map[int]string{}
	ReadResources(slices.Concat(named("shop"), appendBytes(nil, 1, nil), named("cart")), 1, func([]byte) int { return 0 }, func(index int, values []Value) {
		got[index] = string(values[0].Text)
	})
	if diff := cmp.Diff(map[int]string{0: "shop", 1: "", 2: "cart"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSpanReader_TakesNoMemory(t *testing.T) {
	g := &generator{Rand: rand.New(rand.NewPCG(1, 2))}
	request, _ := g.message(newOfficial(ledger.Traces).ProtoReflect().Descriptor(), 0)
	reader, spans := newTestReader(), 0
	visit := func(*Span) { spans++ }
	if n := testing.AllocsPerRun(100, func() { reader.Read(request, visit) }); n > 0 || spans == 0 {
		t.Errorf("%v allocations for %d spans", n, spans)
	}
}

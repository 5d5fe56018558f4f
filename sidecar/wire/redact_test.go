package wire

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/internal/testing/secrets"
	"github.com/nova/novawire/sidecar/ledger"
)

func newRules(t testing.TB, text string) *redact.Rules {
	t.Helper()
	rules, _ := redaction.Parse(text)
	return redact.New(rules, "a key")
}

// everyPreset are rules with every preset.
func everyPreset(action string) (text string) {
	for _, preset := range redaction.Presets() {
		text += action + " preset " + preset + "\n"
	}
	return text
}

// A request that is redacted in the wire form is what it would be if it were decoded,
// redacted and encoded.
func TestRedactor_Differential(t *testing.T) {
	const cases = 1500
	changed := 0
	rules := newRules(t, everyPreset("mask")+"mask key pass*\nmask value ACCT-[0-9]+\n")
	r := NewRedactor(rules)
	texts := []string{"", "id", "password", "db.query.text", "GET /a?b=c", "jane@example.com", "select 'x'", "of ACCT-12", "plain", "url.query", "card 4111 1111 1111 1111", strings.Repeat("long ", 40) + "a@b.co"}
	for seed := range uint64(cases) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 2)), texts: texts}
		signal := ledger.Signal(seed % 3)
		request, _ := g.message(newOfficial(signal).ProtoReflect().Descriptor(), 0)
		original := bytes.Clone(request)
		got, counts := r.Redact(signal, request)
		if !bytes.Equal(request, original) {
			t.Fatalf("seed %d: the request itself was changed", seed)
		}
		before, _ := Scan(signal, request)
		after, err := Scan(signal, got)
		if err != nil || after.Items != before.Items || after.Resources != before.Resources {
			t.Fatalf("seed %d: %v; %+v became %+v\n%x\n%x", seed, err, before, after, request, got)
		}
		want := newOfficial(signal)
		if err := proto.Unmarshal(request, want); err != nil {
			t.Fatal(err)
		}
		redacting{rules.Redactor()}.message(want.ProtoReflect(), redact.Key{})
		decoded := newOfficial(signal)
		if err := proto.Unmarshal(got, decoded); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		discardUnknown(want.ProtoReflect())
		discardUnknown(decoded.ProtoReflect())
		if !proto.Equal(want, decoded) {
			t.Fatalf("seed %d, %s (-want +got):\n%s", seed, signal, cmp.Diff(want, decoded, protocmp.Transform(), cmpopts.EquateNaNs()))
		}
		if counts != (redact.Counts{}) {
			changed++
		} else if len(request) > 0 && &got[0] != &request[0] {
			t.Fatalf("seed %d: nothing was redacted, and the request was copied", seed)
		}
	}
	if changed < cases/3 {
		t.Errorf("%d of %d requests were redacted", changed, cases)
	}
}

// redacting redacts decoded messages: it is what the wire form is compared with.
type redacting struct{ *redact.Redactor }

func (r redacting) message(m protoreflect.Message, key redact.Key) {
	if kv, ok := m.Interface().(*common.KeyValue); ok {
		key = r.Key([]byte(kv.Key))
		if whole, _ := key.Whole(); whole {
			kv.Value = &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: redact.Masked}}
		}
		if to, verdict := r.KeyName(nil, []byte(kv.Key)); verdict == redact.Changed {
			kv.Key = string(to)
		}
		if kv.Value != nil {
			r.message(kv.Value.ProtoReflect(), key)
		}
		return
	}
	if v, ok := m.Interface().(*common.AnyValue); ok {
		r.number(v)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				r.message(v.List().Get(i).Message(), key)
			}
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				if to, verdict := r.Name(nil, []byte(v.List().Get(i).String())); verdict == redact.Changed {
					v.List().Set(i, protoreflect.ValueOfString(string(to)))
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			r.message(v.Message(), key)
		case f.Kind() == protoreflect.StringKind:
			if to, verdict := r.Value(nil, key, []byte(v.String())); verdict == redact.Changed {
				m.Set(f, protoreflect.ValueOfString(string(to)))
			}
		}
		return true
	})
}

func (r redacting) number(v *common.AnyValue) {
	decimal := ""
	switch n := v.Value.(type) {
	case *common.AnyValue_IntValue:
		decimal = strconv.FormatInt(n.IntValue, 10)
	case *common.AnyValue_DoubleValue:
		decimal = strconv.FormatFloat(n.DoubleValue, 'f', -1, 64)
	}
	if decimal == "" || strings.Contains(decimal, ".") {
		return
	}
	if _, verdict := r.Value(nil, redact.Key{}, []byte(decimal)); verdict != redact.Keep {
		v.Value = &common.AnyValue_StringValue{StringValue: redact.Masked}
	}
}

func discardUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				discardUnknown(v.List().Get(i).Message())
			}
		default:
			discardUnknown(v.Message())
		}
		return true
	})
}

// attributes makes a request of a span with attributes.
func attributes(list ...[]byte) []byte { return spanOf("GET /cart", list...) }

func spanOf(name string, list ...[]byte) []byte {
	span := textField(5, name)
	for _, a := range list {
		span = appendBytes(span, 9, a)
	}
	return appendBytes(nil, 1, appendBytes(nil, 2, appendBytes(nil, 2, span)))
}

func textField(number protowire.Number, text string) []byte {
	return appendBytes(nil, number, []byte(text))
}

func pairOf(key string, value []byte) []byte {
	return appendBytes(textField(1, key), 2, value)
}

func textPair(key, value string) []byte { return pairOf(key, textField(1, value)) }

func TestRedactor(t *testing.T) {
	long := strings.Repeat("x", 300)
	number := func(n uint64) []byte { return protowire.AppendVarint([]byte{3 << 3}, n) }
	cases := map[string]struct {
		rules         string
		request, want []byte
	}{
		"an attribute is dropped":                               {"drop key a", attributes(textPair("a", "x"), textPair("b", "y")), attributes(textPair("b", "y"))},
		"an attribute is dropped because of its text":           {"drop value s3c", attributes(textPair("b", "y"), textPair("a", "x s3c x")), attributes(textPair("b", "y"))},
		"a value is masked":                                     {"mask key a", attributes(pairOf("a", number(1))), attributes(textPair("a", "[redacted]"))},
		"lengths shrink by bytes of their own":                  {"mask key a", attributes(textPair("a", long), textPair("b", "y")), attributes(textPair("a", "[redacted]"), textPair("b", "y"))},
		"lengths grow by bytes of their own":                    {"hash key a", attributes(textPair("a", "1"), textPair("b", long[:90])), attributes(textPair("a", "hmac:839cd35aadba3cdc"), textPair("b", long[:90]))},
		"equal values of other types hash equally":              {"hash key a", attributes(textPair("a", "1"), pairOf("a", number(1))), attributes(textPair("a", "hmac:839cd35aadba3cdc"), textPair("a", "hmac:839cd35aadba3cdc"))},
		"a key of a list counts for its elements":               {"mask preset sql-literals", attributes(pairOf("db.query.text", appendBytes(nil, 5, appendBytes(nil, 1, textField(1, "a = 'b'"))))), attributes(pairOf("db.query.text", appendBytes(nil, 5, appendBytes(nil, 1, textField(1, "a = ?")))))},
		"a number is a card":                                    {"mask preset card-numbers", attributes(pairOf("a", number(4111111111111111))), attributes(textPair("a", "[redacted]"))},
		"a name cannot be left out":                             {"drop value cart", attributes(), spanOf("[redacted]")},
		"a field of a later version is left out":                {"mask value s3c", attributes(appendBytes(textPair("a", "b"), 9, []byte("s3c")), appendBytes(textPair("c", "d"), 9, []byte("x"))), attributes(textPair("a", "b"), appendBytes(textPair("c", "d"), 9, []byte("x")))},
		"a rule that cannot be read masks values":               {"maks value x", attributes(textPair("a", "b")), spanOf("[redacted]", textPair("a", "[redacted]"))},
		"a rule that cannot be read for a key masks its values": {"maks key x", attributes(textPair("a", "b")), attributes(textPair("a", "[redacted]"))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, counts := NewRedactor(newRules(t, c.rules)).Redact(ledger.Traces, c.request)
			want := c.want
			if diff := cmp.Diff(spansJSON(t, want), spansJSON(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("lengths take more bytes than they need:\n%x\n%x", got, want)
			}
			if counts == (redact.Counts{}) {
				t.Error("nothing was counted")
			}
		})
	}
}

func spansJSON(t *testing.T, request []byte) string {
	t.Helper()
	m := ptraceotlp.NewExportRequest()
	if err := m.UnmarshalProto(request); err != nil {
		t.Fatalf("%x: %v", request, err)
	}
	return mustJSON(t, m)
}

// FuzzRedactor puts a secret of each preset into every text of a random request. None
// survives; the request stays valid, with all of its items.
func FuzzRedactor(f *testing.F) {
	for seed := range uint64(12) {
		f.Add(seed, uint8(seed), "of ", ".")
	}
	f.Fuzz(func(t *testing.T, seed uint64, action uint8, before, behind string) {
		random := rand.New(rand.NewPCG(seed, 3))
		rules := newRules(t, everyPreset([]string{"mask", "hash", "drop"}[action%3]))
		r := NewRedactor(rules)
		for _, signal := range ledger.Signals {
			preset := redaction.Presets()[random.IntN(len(redaction.Presets()))]
			s := secrets.New(random, preset)
			if s.Whole {
				before, behind = "", ""
			}
			if strings.Contains(before+behind, s.Core) {
				continue
			}
			g := &generator{Rand: random, texts: []string{before + s.Text + behind, "plain", "k"}}
			if s.Key != "" {
				g.texts = []string{"plain", "k"} // the key decides: an attribute of its own
			}
			request, _ := g.message(newOfficial(signal).ProtoReflect().Descriptor(), 0)
			if s.Key != "" {
				request = slices.Concat(request, resourceWith(textPair(s.Key, s.Text)))
			}
			sum, err := Scan(signal, request)
			if err != nil {
				continue // text before or behind is too much for a length that was made longer
			}
			got, counts := r.Redact(signal, request)
			if bytes.Contains(got, []byte(s.Core)) {
				t.Errorf("%s: the secret %q survives in %q", preset, s.Core, got)
			}
			after, err := Scan(signal, got)
			if err != nil || after.Items != sum.Items {
				t.Errorf("%s: %v; %+v became %+v", preset, err, sum, after)
			}
			if bytes.Contains(request, []byte(s.Core)) && counts == (redact.Counts{}) {
				t.Errorf("%s: nothing was counted", preset)
			}
		}
	})
}

// resourceWith makes a resource with an attribute, for a request of any signal.
func resourceWith(pair []byte) []byte {
	return appendBytes(nil, 1, appendBytes(nil, 1, appendBytes(nil, 1, pair)))
}

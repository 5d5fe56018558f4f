package record_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/secrets"
)

func redacting(text string) *record.Decoder {
	rules, _ := redaction.Parse(text)
	compiled := redact.New(rules, "a key")
	d := decoder()
	d.Redact, d.Pods.Redact, d.Pods.AllMetadata = compiled.Redactor(), compiled.Redactor(), true
	return d
}

func TestDecoder_Redact(t *testing.T) {
	const rules = "mask preset email; drop key password; cards: hash preset card-numbers"
	cases := map[string]struct {
		rules  string
		record chunks.Raw
		want   string // without identity
		counts map[string]int
	}{
		"a line of JSON": {
			rules, chunks.V1(1, m{{"log", `{"level":"INFO","fields":{"message":"to a@b.co","password":"x"},"spans":[{"a":[{"b":{"password":1}}]}]}`}}),
			`{"level":"INFO","message":"to [redacted]","spans":[{"a":[{"b":{}}]}]`,
			map[string]int{"email": 1, "rule-2": 2},
		},
		"a line of text": {rules, chunks.V1(1, m{{"log", "to a@b.co"}}), `{"message":"to [redacted]"`, map[string]int{"email": 1}},
		"a line that a parser has read": {
			rules, chunks.V1(1, m{{"message", "to a@b.co"}, {"password", "x"}, {"card", 4111111111111111}}),
			`{"message":"to [redacted]","card":"hmac:02c96142cc612feb"`,
			map[string]int{"email": 1, "rule-2": 1, "cards": 1},
		},
		"members beside the line": {
			rules, chunks.V1(1, m{{"log", "x"}, {"password", "x"}, {"mail", "a@b.co"}, {"a@b.co", 1}}),
			`{"message":"x","mail":"[redacted]","[redacted]":1`,
			map[string]int{"email": 2, "rule-2": 1},
		},
		"metadata":                             {rules, chunks.V2(1, m{{"mail", "a@b.co"}}, m{{"log", "x"}}), `{"message":"x","metadata":{"mail":"[redacted]"}`, map[string]int{"email": 1}},
		"a line that is dropped stays, masked": {"drop value s3cret", chunks.V1(1, m{{"log", "my s3cret"}}), `{"message":"[redacted]"`, map[string]int{"rule-1": 1}},
		"a rule that cannot be read": {
			"maks value x", chunks.V2(1, m{{"a", 1}}, m{{"log", `{"a":"b"}`}, {"c", 2}}),
			`{"message":"[redacted]","metadata":"[redacted]","c":"[redacted]"`,
			map[string]int{redaction.Unreadable: 3},
		},
		"metadata that is a text": {
			"mask preset authorization", chunks.V2(1, "Authorization: Token s3cret", m{{"log", "x"}}),
			`{"message":"x","metadata":"Authorization: [redacted]"`,
			map[string]int{"authorization": 1},
		},
		"metadata that is a number": {
			"hash preset card-numbers", chunks.V2(1, 4111111111111111, m{{"log", "x"}}),
			`{"message":"x","metadata":"hmac:02c96142cc612feb"`,
			map[string]int{"card-numbers": 1},
		},
		"metadata that is a text to be dropped": {
			"drop value s3cret", chunks.V2(1, "my s3cret", m{{"log", "x"}}),
			`{"message":"x","metadata":"[redacted]"`,
			map[string]int{"rule-1": 1},
		},
		"metadata that is a text, and no rule can be read": {
			"maks value x", chunks.V2(1, "s3cret", m{{"log", "x"}}),
			`{"message":"[redacted]","metadata":"[redacted]"`,
			map[string]int{redaction.Unreadable: 2},
		},
		"a group that is a text": {
			"mask preset authorization", chunks.Chunk(chunks.GroupStart("Authorization: Token s3cret", m{{"a", "b"}}), chunks.V1(1, m{{"log", "x"}})),
			`{"message":"x","group_metadata":"Authorization: [redacted]","group":{"a":"b"}`,
			map[string]int{"authorization": 1},
		},
		"a time that is another text": {
			"mask preset email", chunks.V1(1, m{{"log", "x"}, {"time", "a@b.co"}}),
			`{"message":"x","time":"[redacted]"`,
			map[string]int{"email": 1},
		},
		"a time in the line that is another text": {
			"mask preset email", chunks.V1(1, m{{"log", "2026-11-23T00:00:00Z_a@b.co stdout F hi"}}),
			`{"message":"hi","time":"2026-11-23T00:00:[redacted]"`,
			map[string]int{"email": 1},
		},
		"a time with more digits than a fraction has": {
			"mask value 4111+", chunks.V1(1, m{{"log", "2026-11-23T00:00:00.4111111111 stdout F hi"}}),
			`{"message":"hi","time":"2026-11-23T00:00:00.[redacted]"`,
			map[string]int{"rule-1": 1},
		},
		"a zone that is a phone number": {
			`mask value \+1-[0-9-]+`, chunks.V1(1, m{{"log", "2026-11-23T00:00:00+1-555-123-4567 stdout F hi"}}),
			`{"message":"hi","time":"2026-11-23T00:00:00[redacted]"`,
			map[string]int{"rule-1": 1},
		},
		"a time that is another text, and no rule can be read": {
			"maks preset email", chunks.V1(1, m{{"log", "x"}, {"time", "4111-1111"}}),
			`{"message":"[redacted]","time":"[redacted]"`,
			map[string]int{redaction.Unreadable: 2},
		},
		"the runtime's time stays": {
			"maks preset email", chunks.V1(1, m{{"log", "2026-11-23T00:00:00.123456789+01:00 stdout F hi"}}),
			`{"message":"[redacted]","time":"2026-11-23T00:00:00.123456789+01:00"`,
			map[string]int{redaction.Unreadable: 1},
		},
		"members that the redacted line has too are not repeated": {
			"mask key user; mask preset email", chunks.V1(1, m{{"log", `{"user":"x","same":"value"}`}, {"mail", "to jane@example.com and joe@example.com"}, {"same", "value"}}),
			`{"user":"[redacted]","same":"value","mail":"to [redacted] and [redacted]"`,
			map[string]int{"rule-1": 1, "email": 2},
		},
		"the level and the ids of the line count as before": {
			"mask key user", chunks.V1(1, m{{"log", `{"user":"x","level":"ERROR","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}`}, {"a", 1}, {"user", 2}}),
			`{"user":"[redacted]","level":"ERROR","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","xray_trace_id":"1-4bf92f35-77b34da6a3ce929d0e0e4736","a":1`,
			map[string]int{"rule-1": 2},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := redacting(c.rules)
			chunk := d.Decode(c.record, tag, 77)
			got := events(t, chunk)
			if diff := cmp.Diff([]string{c.want + "," + shownMember + "}"}, messages(got)); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			counts := map[string]int{}
			for i, rule := range d.Redact.Names() {
				if n := chunk.Redacted[i]; n > 0 {
					counts[rule] = n
				}
			}
			if diff := cmp.Diff(c.counts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// The filter's metadata is redacted once for a pod.
func TestPods_Redact(t *testing.T) {
	d := redacting("mask preset email")
	kubernetes := m{{"namespace_name", "nova"}, {"annotations", m{{"owner", "a@b.co"}}}}
	for range 2 {
		got := events(t, d.Decode(chunks.V1(1, m{{"log", "x"}, {"kubernetes", kubernetes}}), tag, 77))
		if want := `{"message":"x","kubernetes":{"namespace_name":"nova","annotations":{"owner":"[redacted]"}}}`; got[0].Message != want {
			t.Errorf("message is %s, want %s", got[0].Message, want)
		}
	}
	if n := d.Pods.Redacted()[0]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
}

// Metadata that is read again, until the pod has a final description, is counted once.
func TestPods_Redact_Refresh(t *testing.T) {
	d := redacting("mask preset email")
	d.Pods.Describe = func(string, string, string) (record.Description, bool) { return record.Description{}, false }
	kubernetes := m{{"namespace_name", "nova"}, {"annotations", m{{"owner", "a@b.co"}}}}
	for _, now := range []int64{77, 77 + 20_000} {
		d.Decode(chunks.V1(1, m{{"log", "x"}, {"kubernetes", kubernetes}}), tag, now)
	}
	if n := d.Pods.Redacted()[0]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
}

// FuzzDecoder_Redact puts a secret of each preset into every place of a record. None
// survives, and each event is still valid.
func FuzzDecoder_Redact(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, "of ", ".")
	}
	f.Fuzz(func(t *testing.T, seed uint64, before, behind string) {
		random := rand.New(rand.NewPCG(seed, 4))
		var rules strings.Builder
		for _, preset := range redaction.Presets() {
			rules.WriteString("mask preset " + preset + "\n")
		}
		d := redacting(rules.String())
		for _, preset := range redaction.Presets() {
			s := secrets.New(random, preset)
			if strings.Contains(before+behind, s.Core) || len(before)+len(behind) > 10_000 {
				continue
			}
			key, text := s.Key, before+s.Text+behind
			if s.Whole {
				text = s.Text
			}
			if key == "" {
				key = "k"
			}
			places := m{{key, text}, {"list", []any{m{{key, text}}}}, {"bytes", m{{key, []byte(text)}}}}
			inLine := string(chunks.Append(nil, "")) + text
			records := []chunks.Raw{
				chunks.GroupStart(places, places),
				chunks.V2(1, places, append(m{{"log", "x"}}, places...)),
				chunks.V1(1, places),
				chunks.V1(1, append(m{{"log", "x"}, {"kubernetes", m{{"namespace_name", "nova"}, {"labels", places}}}}, places...)),
				chunks.GroupEnd(),
			}
			if s.Key == "" {
				records = append(records, chunks.V1(1, m{{"log", text}}), chunks.V1(1, m{{text, 1}}), chunks.Append(nil, text), chunks.Append(nil, inLine))
			}
			for _, e := range events(t, d.Decode(chunks.Chunk(records...), tag, 77)) {
				if strings.Contains(strings.ReplaceAll(e.Message, `\`, ""), strings.ReplaceAll(s.Core, `\`, "")) {
					t.Errorf("%s: the secret %q survives in %s", preset, s.Core, e.Message)
				}
			}
		}
	})
}

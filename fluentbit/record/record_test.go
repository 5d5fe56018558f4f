package record_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/testing/chunks"
)

type m = chunks.Map

var (
	noon = chunks.Noon
	tag  = "kube.var.log.containers.user-service-5d8f7c9b46-x2v9k_nova_app-0b6a3b6e.log"
)

// shownMember is the member that messages get from the tag above.
const shownMember = `"kubernetes":{"namespace_name":"nova","pod_name":"user-service-5d8f7c9b46-x2v9k","container_name":"app","host":"node-a"}`

func decode(t *testing.T, records ...chunks.Raw) []event {
	t.Helper()
	return events(t, decoder().Decode(chunks.Chunk(records...), tag, 77))
}

func TestDecoder_RecordShapes(t *testing.T) {
	line := m{{"log", `{"message":"hello"}`}}
	cases := map[string]struct {
		record chunks.Raw
		want   string // without identity
		time   int64
	}{
		"before 2.1":                   {chunks.V1(chunks.EventTime(noon), line), `{"message":"hello"`, noon.UnixMilli()},
		"before 2.1, whole seconds":    {chunks.V1(int(noon.Unix()), line), `{"message":"hello"`, noon.UnixMilli()},
		"before 2.1, a float":          {chunks.V1(1.5, line), `{"message":"hello"`, 1500},
		"since 2.1":                    {chunks.V2(chunks.EventTime(noon.Add(time.Millisecond)), m{}, line), `{"message":"hello"`, noon.UnixMilli() + 1},
		"with metadata":                {chunks.V2(chunks.EventTime(noon), m{{"otlp", m{{"severity_number", 9}}}}, line), `{"message":"hello","metadata":{"otlp":{"severity_number":9}}`, noon.UnixMilli()},
		"on standard error":            {chunks.V1(1, append(m{{"stream", "stderr"}}, line...)), `{"message":"hello","stream":"stderr"`, 1000},
		"with members beside the line": {chunks.V1(1, append(m{{"extra", 1}, {"message", "other"}, {"same", "x"}}, m{{"log", `{"message":"hello","same":"x"}`}}...)), `{"message":"hello","same":"x","extra":1,"record.message":"other"`, 1000},
		"text with members beside it":  {chunks.V1(1, m{{"log", "hello"}, {"message", "other"}}), `{"message":"hello","record.message":"other"`, 1000},
		"a line of Docker's json-file": {chunks.V1(1, m{{"log", `{"message":"hello"}` + "\n"}, {"stream", "stdout"}}), `{"message":"hello"`, 1000},
		"text of Docker's json-file":   {chunks.V1(1, m{{"log", "hello\n"}}), `{"message":"hello"`, 1000},
		"binary line":                  {chunks.V1(1, m{{"log", []byte("hello")}}), `{"message":"hello"`, 1000},
		"a line that is no text":       {chunks.V1(1, m{{"log", 5}, {"stream", "stdout"}, {"time", "t"}}), `{"log":5,"stream":"stdout","time":"t"`, 1000},
		"merged, without its line":     {chunks.V1(1, m{{"level", "ERROR"}, {"fields", m{{"message", "hello"}}}, {"span", m{{"trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"}}}}), `{"level":"ERROR","message":"hello","span":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","xray_trace_id":"1-4bf92f35-77b34da6a3ce929d0e0e4736"`, 1000},
		"values of every kind": {chunks.V1(1, m{
			{"nil", nil},
			{"no", false},
			{"int", -5},
			{"uint", uint64(math.MaxUint64)},
			{"float", 0.5},
			{"nan", math.NaN()},
			{"bin", []byte("b")},
			{"bad", "\xff"},
			{"list", []any{1, m{}}},
			{"ext", chunks.Raw{0xd4, 5, 0xff}},
			{"when", chunks.EventTime(time.Unix(3, 5e8))},
		}), `{"nil":null,"no":false,"int":-5,"uint":18446744073709551615,"float":0.5,"nan":"NaN","bin":"b","bad":"�","list":[1,{}],"ext":{"type":5,"base64":"/w=="},"when":3.5`, 1000},
		"a key that is no text":       {chunks.V1(1, chunks.Raw{0x81, 0x05, 0x06}), `{"5":6`, 1000},
		"a key that is a map":         {chunks.V1(1, chunks.Raw{0x81, 0x81, 0x05, 0x06, 0x07}), `{"gQUG":7`, 1000},
		"an empty map":                {chunks.V1(1, m{}), `{`, 1000},
		"not a time":                  {chunks.V1("x", line), `{"message":"hello"`, 77},
		"a time beyond all calendars": {chunks.V1(uint64(math.MaxUint64), line), `{"message":"hello"`, 77},
		"no record at all":            {chunks.Append(nil, "text"), `{"record":"text"`, 77},
		"a body that is no map":       {chunks.V1(1, 2), `{"record":[1,2]`, 1000},
		"a header without a time":     {chunks.Append(nil, []any{[]any{}, line}), `{"message":"hello"`, 77},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := decode(t, c.record)
			want := c.want + "," + shownMember + "}"
			if c.want == "{" {
				want = "{" + shownMember + "}"
			}
			if len(got) != 1 || got[0].Message != want || got[0].Timestamp != c.time {
				t.Errorf("got %+v, want %d %s", got, c.time, want)
			}
		})
	}
}

func TestDecoder_Groups(t *testing.T) {
	line := chunks.V2(chunks.EventTime(noon), m{}, m{{"log", "x"}})
	got := decode(t, chunks.GroupStart(m{{"schema", "otlp"}}, m{{"resource", m{{"service.name", "feed"}}}}), line, chunks.GroupEnd(), line)
	want := []string{
		`{"message":"x","group_metadata":{"schema":"otlp"},"group":{"resource":{"service.name":"feed"}},` + shownMember + `}`,
		`{"message":"x",` + shownMember + `}`,
	}
	if diff := cmp.Diff(want, messages(got)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func messages(events []event) (all []string) {
	for _, e := range events {
		all = append(all, e.Message)
	}
	return all
}

func TestDecoder_JoinsPartialLines(t *testing.T) {
	part := func(stream, mark, text string) chunks.Raw {
		return chunks.V1(1, m{{"stream", stream}, {"logtag", mark}, {"log", text}})
	}
	cases := map[string]struct {
		records []chunks.Raw
		want    []string
	}{
		"by a parser":             {[]chunks.Raw{part("stdout", "P", `{"message":`), part("stdout", "P", `"he`), part("stdout", "F", `llo"}`)}, []string{`"hello"`}},
		"of two streams at once":  {[]chunks.Raw{part("stdout", "P", "a"), part("stderr", "P", "x"), part("stdout", "F", "b"), part("stderr", "F", "y")}, []string{`"ab"`, `"xy"`}},
		"at the end of a chunk":   {[]chunks.Raw{part("stdout", "P", "a")}, []string{`"a"`}},
		"in the runtime's format": {[]chunks.Raw{chunks.V1(1, m{{"log", "2026-11-23T12:00:00.123Z stdout P a\n"}}), chunks.V1(1, m{{"log", "2026-11-23T12:00:00.123Z stdout F b\n"}})}, []string{`"ab"`}},
		"not by multiline's mark": {[]chunks.Raw{chunks.V1(1, m{{"stream", "stdout"}, {"_p", "P"}, {"log", "whole"}}), part("stdout", "F", "other")}, []string{`"whole"`, `"other"`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range decode(t, c.records...) {
				var message struct {
					Message any `json:"message"`
				}
				if err := json.Unmarshal([]byte(e.Message), &message); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%q", message.Message))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// A parser of Fluent Bit reads the severity of lines that are not JSON.
func TestDecoder_Severity(t *testing.T) {
	line := func(stream, text, severity string) chunks.Raw {
		body := m{{"stream", stream}, {"log", text}}
		if severity != "" {
			body = append(body, [2]any{"severity", severity})
		}
		return chunks.V1(1, body)
	}
	cases := map[string]struct {
		records []chunks.Raw
		want    []string // message and level
		errors  uint32
	}{
		"of PostgreSQL":                           {[]chunks.Raw{line("stderr", "a", "LOG"), line("stderr", "b", "WARNING"), line("stderr", "c", "FATAL"), line("stderr", "d", "DEBUG3")}, []string{"a INFO", "b WARN", "c ERROR", "d DEBUG"}, 1},
		"of Redis":                                {[]chunks.Raw{line("stdout", "a", "*"), line("stdout", "b", "#"), line("stdout", "c", ".")}, []string{"a INFO", "b WARN", "c DEBUG"}, 0},
		"of nginx":                                {[]chunks.Raw{line("stderr", "a", "notice"), line("stderr", "b", "emerg")}, []string{"a INFO", "b ERROR"}, 1},
		"of nobody that is known":                 {[]chunks.Raw{line("stdout", "a", "loud")}, []string{"a "}, 0},
		"of a statement of several lines":         {[]chunks.Raw{line("stderr", "SELECT *", "ERROR"), line("stderr", "\t  FROM t", ""), line("stderr", "\t WHERE x", ""), line("stderr", "next", "LOG")}, []string{"SELECT *\n\t  FROM t\n\t WHERE x ERROR", "next INFO"}, 1},
		"of lines of two streams at once":         {[]chunks.Raw{line("stderr", "a", "LOG"), line("stdout", "x", ""), line("stderr", "\tb", "")}, []string{"x ", "a\n\tb INFO"}, 0},
		"of a statement at the end of a chunk":    {[]chunks.Raw{line("stderr", "a", "LOG"), line("stderr", "\tb", "")}, []string{"a\n\tb INFO"}, 0},
		"of a line that continues nothing":        {[]chunks.Raw{line("stderr", "\tb", ""), line("stderr", "c", "LOG")}, []string{"\tb ", "c INFO"}, 0},
		"of a line that no parser read, with tab": {[]chunks.Raw{line("stderr", "a", ""), line("stderr", "\tb", "")}, []string{"a ", "\tb "}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			var tally record.Tally
			for _, e := range decode(t, c.records...) {
				var message struct {
					Message  string `json:"message"`
					Level    string `json:"level"`
					Severity string `json:"severity"`
				}
				if err := json.Unmarshal([]byte(e.Message), &message); err != nil {
					t.Fatal(err)
				}
				got = append(got, message.Message+" "+message.Level)
				tally.Add(e.tally)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || tally.ErrorLines != c.errors {
				t.Errorf("%d errors, messages (-want +got):\n%s", tally.ErrorLines, diff)
			}
		})
	}
}

func TestDecoder_Undecodable(t *testing.T) {
	good := chunks.V1(1, m{{"log", "x"}})
	d := decoder()
	c := d.Decode(append(chunks.Chunk(good), 0xc1, 0xff, 0x00), tag, 77)
	got := messages(events(t, c))
	want := []string{`{"message":"x",` + shownMember + `}`, `{"undecodable":"wf8A",` + shownMember + `}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if c.Undecodable != 3 {
		t.Errorf("undecodable bytes: %d", c.Undecodable)
	}
}

func TestDecoder_SplitsLongMessages(t *testing.T) {
	for name, line := range map[string]string{
		"text":           strings.Repeat("aé\"\\\n\x01", 400_000),
		"JSON":           `{"level":"ERROR","message":"` + strings.Repeat("x", 1_500_000) + `"}`,
		"just too long":  strings.Repeat("x", record.MaxMessage),
		"of two million": strings.Repeat("\x02", 2_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			d := decoder()
			c := d.Decode(chunks.V1(5, m{{"log", line}}), tag, 0)
			var whole strings.Builder
			all := events(t, c)
			for i, e := range all {
				var part struct {
					Message string `json:"message"`
					Part    int    `json:"part"`
					Parts   int    `json:"parts"`
				}
				if err := json.Unmarshal([]byte(e.Message), &part); err != nil {
					t.Fatal(err)
				}
				if part.Part != i+1 || part.Parts != len(all) || e.Timestamp != 5000 {
					t.Errorf("part %d of %d at %d, it is number %d of %d", part.Part, part.Parts, e.Timestamp, i+1, len(all))
				}
				whole.WriteString(part.Message)
			}
			if len(all) < 2 {
				t.Errorf("%d parts", len(all))
			}
			checkHolds(t, line, whole.String())
		})
	}
}

func TestDecoder_DeepValues(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x91}, 100_000), 0xc0)
	got := decode(t, chunks.V1(1, m{{"deep", chunks.Raw(deep)}}))
	if len(got) != 1 || !strings.Contains(got[0].Message, `kZGRkZ`) {
		t.Errorf("got %.100v", got)
	}
	line := `{"deep":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`
	checkHolds(t, "text: "+line, strings.Replace(decode(t, chunks.V1(1, m{{"log", line}}))[0].Message, `"{`, `"text: {`, 1))
}

func TestDecoder_Decode_IsIndependentOfPreviousChunk(t *testing.T) {
	d := decoder()
	d.Decode(chunks.Chunk(chunks.GroupStart(m{}, m{{"a", 1}}), chunks.V1(1, m{{"logtag", "P"}, {"log", "part"}})), tag, 0)
	got := messages(events(t, d.Decode(chunks.V1(1, m{{"log", "x"}}), tag, 0)))
	if diff := cmp.Diff([]string{`{"message":"x",` + shownMember + `}`}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

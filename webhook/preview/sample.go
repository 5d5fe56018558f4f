package preview

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/redact"
)

// Change is a text of a sample that rules of redaction change.
type Change struct {
	Where         string // the line, or the path in OTLP
	Before, After string
	Dropped       bool
	Rules         []string
}

// Redaction is what rules change in a sample.
type Redaction struct {
	Changes []Change
	Looked  int            // at so many lines or texts
	Counts  map[string]int // of redactions, by rule
}

// sampleKey stands for the key of hashes, which is a secret of the cluster.
const sampleKey = "sample"

// Redact redacts a sample by rules: OTLP in JSON, one document or one in each line, as the
// sidecar would, and lines of anything else as the plugin would. Without a key in the cluster,
// rules that hash mask.
func Redact(rules string, hasKey bool, sample []byte) Redaction {
	parsed, _ := redaction.Parse(rules)
	key := ""
	if hasKey {
		key = sampleKey
	}
	r := sampler{redactor: redact.New(parsed, key).Redactor()}
	r.result.Counts = map[string]int{}
	if r.redactor == nil {
		return r.result
	}
	if document, ok := otlp(sample); ok {
		r.message("", "", document)
		return r.result
	}
	number := 0
	for line := range bytes.Lines(sample) {
		number++
		where := fmt.Sprintf("line %d", number)
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			continue
		}
		if document, ok := otlp(line); ok {
			r.message(where+": ", "", document)
			continue
		}
		to, verdict := r.redactor.Value(nil, redact.Key{}, line)
		if verdict == redact.Drop {
			to, verdict = []byte(redact.Masked), redact.Changed // a line is never left out
		}
		r.note(where, string(line), string(to), verdict)
	}
	return r.result
}

// otlp reads OTLP in JSON.
func otlp(text []byte) (document map[string]any, ok bool) {
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&document) != nil || decoder.More() {
		return nil, false
	}
	for _, signal := range []string{"resourceSpans", "resourceMetrics", "resourceLogs"} {
		if _, found := document[signal].([]any); found {
			return document, true
		}
	}
	return nil, false
}

type sampler struct {
	redactor *redact.Redactor
	result   Redaction
}

// note counts a text, and keeps it if it changes.
func (r *sampler) note(where, before, after string, verdict redact.Verdict) {
	r.result.Looked++
	var rules []string
	for i, name := range r.redactor.Names() {
		if n := r.redactor.Counts[i]; n > 0 {
			rules = append(rules, name)
			r.result.Counts[name] += n
		}
	}
	r.redactor.Counts = redact.Counts{}
	if verdict != redact.Keep {
		r.result.Changes = append(r.result.Changes, Change{where, before, after, verdict == redact.Drop, rules})
	}
}

// otlpNames are OTLP's texts that name something; those in otlpFreeTexts are about one item.
// An AnyValue is read by value.
var otlpNames = []string{"key", "name", "version", "description", "unit", "severityText", "schemaUrl", "type"}

var otlpFreeTexts = []string{"message", "traceState", "eventName"}

// message reads a message of OTLP. in is the field that holds it.
func (r *sampler) message(path, in string, m map[string]any) {
	for _, field := range slices.Sorted(maps.Keys(m)) {
		where := path + field
		switch v := m[field].(type) {
		case map[string]any:
			if field == "body" {
				r.value(where, redact.Key{}, v)
			} else {
				r.message(where+".", field, v)
			}
		case []any:
			r.list(where, field, v)
		case string:
			isFree := slices.Contains(otlpFreeTexts, field) || field == "name" && (in == "spans" || in == "events")
			if !isFree && !slices.Contains(otlpNames, field) {
				continue
			}
			read := r.redactor.Name
			if isFree {
				read = func(to, text []byte) ([]byte, redact.Verdict) { return r.redactor.Value(to, redact.Key{}, text) }
			}
			to, verdict := read(nil, []byte(v))
			if verdict == redact.Drop {
				to, verdict = []byte(redact.Masked), redact.Changed
			}
			r.note(where, v, string(to), verdict)
		}
	}
}

func (r *sampler) list(path, in string, list []any) {
	for i, element := range list {
		m, ok := element.(map[string]any)
		if !ok {
			continue
		}
		if key, isText := m["key"].(string); isText {
			r.pair(path+"["+key+"]", key, m)
			continue
		}
		r.message(path+"["+strconv.Itoa(i)+"].", in, m)
	}
}

// pair reads a KeyValue.
func (r *sampler) pair(where, key string, m map[string]any) {
	if to, verdict := r.redactor.KeyName(nil, []byte(key)); verdict != redact.Keep {
		r.note(where+" (the key)", key, string(to), verdict)
	}
	k := r.redactor.Key([]byte(key))
	value, _ := m["value"].(map[string]any)
	whole, drop := k.Whole()
	if !whole {
		r.value(where, k, value)
		return
	}
	_, text := content(value)
	if drop {
		r.redactor.CountDrop(k)
		r.note(where, text, "", redact.Drop)
		return
	}
	r.note(where, text, string(r.redactor.AppendWhole(nil, k, []byte(text))), redact.Changed)
}

// value reads an AnyValue.
func (r *sampler) value(where string, k redact.Key, value map[string]any) {
	kind, text := content(value)
	switch kind {
	case "stringValue", "bytesValue":
		to, verdict := r.redactor.Value(nil, k, []byte(text))
		r.note(where, text, string(to), verdict)
	case "intValue", "doubleValue":
		to, verdict := r.redactor.NumberText(nil, []byte(text))
		if verdict == redact.Drop {
			to, verdict = []byte(redact.Masked), redact.Changed
		}
		r.note(where, text, string(to), verdict)
	case "arrayValue", "kvlistValue":
		list, _ := value[kind].(map[string]any)
		values, _ := list["values"].([]any)
		for i, element := range values {
			if m, ok := element.(map[string]any); ok && kind == "arrayValue" {
				r.value(fmt.Sprintf("%s[%d]", where, i), k, m)
			} else if key, isText := m["key"].(string); isText {
				r.pair(where+"["+key+"]", key, m)
			}
		}
	}
}

// content returns the kind of an AnyValue, and what a rule for its key would hash of it.
func content(value map[string]any) (kind, text string) {
	for kind, v := range value {
		switch v := v.(type) {
		case string:
			if decoded, err := base64.StdEncoding.DecodeString(v); kind == "bytesValue" && err == nil {
				return kind, string(decoded)
			}
			return kind, v
		default:
			encoded, err := json.Marshal(v)
			if err != nil {
				continue // it was decoded here
			}
			return kind, strings.TrimSuffix(string(encoded), ".0")
		}
	}
	return "", ""
}

package record

import (
	"strings"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// levels maps the severities of programs that do not log JSON to the levels of
// tracing (PostgreSQL: "Reporting Errors and Logging"; nginx: error_log; Redis:
// the characters of its log).
var levels = map[string]string{
	"DEBUG1": "DEBUG", "DEBUG2": "DEBUG", "DEBUG3": "DEBUG", "DEBUG4": "DEBUG", "DEBUG5": "DEBUG",
	"LOG": "INFO", "DETAIL": "INFO", "HINT": "INFO", "CONTEXT": "INFO", "STATEMENT": "INFO", "QUERY": "INFO", "LOCATION": "INFO",
	"WARNING": "WARN", "FATAL": "ERROR", "PANIC": "ERROR",

	"DEBUG": "DEBUG", "INFO": "INFO", "NOTICE": "INFO", "WARN": "WARN", "ERROR": "ERROR", "CRIT": "ERROR", "ALERT": "ERROR", "EMERG": "ERROR",

	".": "DEBUG", "-": "INFO", "*": "INFO", "#": "WARN",
}

// severity returns the member severity that a parser of Fluent Bit read from the
// line, or "".
func (r *recordFields) severity() string {
	for _, m := range r.others {
		if key, _, ok := msgpack.Text(m.key); !ok || string(key) != "severity" {
			continue
		}
		value, _, _ := msgpack.Text(m.value)
		return string(value)
	}
	return ""
}

// level returns the level of a line that is not JSON, or "" if no parser read it.
func (r *recordFields) level() string { return levels[strings.ToUpper(r.severity())] }

// joinContinuation joins lines that begin with a tab to the line before, if a
// parser read a severity from that one: PostgreSQL writes the further lines of a
// statement so. It reports whether the current line is kept for that. Like the
// parts of a line, lines are joined within one chunk.
func (d *Decoder) joinContinuation() bool {
	r := &d.r
	i := d.findLine(d.openLines)
	if i >= 0 {
		open := &d.openLines[i]
		if len(r.line) > 0 && r.line[0] == '\t' {
			open.line = append(append(open.line, '\n'), r.line...)
			return true
		}
		current, pod := d.copyRecord(), d.pod
		d.r = open.record
		d.writeLine(open.line)
		d.r, d.pod = current, pod
		d.openLines = append(d.openLines[:i], d.openLines[i+1:]...)
	}
	if r.severity() == "" {
		return false
	}
	d.openLines = append(d.openLines, d.keepLine())
	return true
}

package ledger

import (
	"encoding/json"
	"strconv"
	"sync/atomic"

	ledgerapi "github.com/nova/novawire/api/ledger"
)

// Entry is the printed form of the counters of one signal.
type Entry = ledgerapi.Entry

// Line returns the ledger as one line of JSON; log shippers find it by "ledger".
func (l *Ledger) Line() []byte { return l.appendLine(nil, false) }

// RunningLine returns the line of a sidecar that has not ended.
func (l *Ledger) RunningLine() []byte { return l.appendLine(nil, true) }

// Entry returns the counts as they are now.
func (c *Counters) Entry() (e Entry) {
	if err := json.Unmarshal(c.append(nil, true), &e); err != nil { // it was encoded here
		panic(err)
	}
	return e
}

// Entries returns the entries of all signals, by name.
func (l *Ledger) Entries() map[string]Entry {
	entries := make(map[string]Entry, len(Signals))
	for _, s := range Signals {
		entries[s.String()] = l.Counters(s).Entry()
	}
	return entries
}

// maxMessage is how long a termination message may be, in bytes (Kubernetes).
const maxMessage = 4096

// allRules stands for all rules of redaction where a line has no room for each.
const allRules = "all"

// appendLine appends the line, which fits a termination message.
func (l *Ledger) appendLine(dst []byte, running bool) []byte {
	if line := l.appendAccounts(dst, running, true); len(line)-len(dst) <= maxMessage {
		return line
	}
	return l.appendAccounts(dst, running, false)
}

// appendAccounts appends the line. It allocates little, because it is written for each
// request. Reasons that did not occur are absent.
func (l *Ledger) appendAccounts(dst []byte, running, eachRule bool) []byte {
	dst = append(dst, '{')
	if running {
		dst = append(dst, `"running":true,`...)
	}
	dst = append(dst, `"ledger":{`...)
	for i, s := range Signals {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), s.String()...), `":`...)
		dst = l.Counters(s).append(dst, eachRule)
	}
	return append(dst, "}}\n"...)
}

func (c *Counters) append(dst []byte, eachRule bool) []byte {
	dst = appendNumber(dst, `{"accepted":`, &c.accepted)
	dst = appendNumber(dst, `,"exported":`, &c.exported)
	dst = appendNumber(dst, `,"accepted_bytes":`, &c.acceptedBytes)
	dst = appendNumber(dst, `,"exported_bytes":`, &c.exportedBytes)
	dst = appendNumber(dst, `,"stored":`, &c.stored)
	if eachRule {
		dst = appendReasons(dst, `,"redacted":{`, func(i int) string { return c.rules[i] }, c.redacted[:len(c.rules)], load)
	} else {
		sum := [1]int64{}
		for i := range c.redacted {
			sum[0] += load(&c.redacted[i])
		}
		dst = appendReasons(dst, `,"redacted":{`, func(int) string { return allRules }, sum[:], identity)
	}
	dst = appendReasons(dst, `,"refused":{`, Refusal.String, c.refused[:], load)
	dst = appendReasons(dst, `,"refused_requests":{`, BadRequest.String, c.requests[:], load)
	dst = appendReasons(dst, `,"dropped":{`, Reason.String, c.dropped[:], load)
	if r := c.restored.Load(); r != nil {
		dst = strconv.AppendInt(append(dst, `,"restored":{"accepted":`...), r.Accepted, 10)
		dst = strconv.AppendInt(append(dst, `,"exported":`...), r.Exported, 10)
		dst = append(appendReasons(dst, `,"dropped":{`, Reason.String, r.Dropped[:], identity), '}')
	}
	return append(dst, '}')
}

func appendNumber(dst []byte, name string, n *atomic.Int64) []byte {
	return strconv.AppendInt(append(dst, name...), n.Load(), 10)
}

// appendReasons appends an object with the numbers that are not zero; nothing if all are.
func appendReasons[R ~int, N any](dst []byte, open string, name func(R) string, counts []N, value func(*N) int64) []byte {
	begin := open
	for i := range counts {
		n := value(&counts[i])
		if n == 0 {
			continue
		}
		dst = append(append(append(dst, begin...), '"'), name(R(i))...)
		dst = strconv.AppendInt(append(dst, `":`...), n, 10)
		begin = ","
	}
	if begin == open {
		return dst
	}
	return append(dst, '}')
}

func load(n *atomic.Int64) int64 { return n.Load() }

func identity(n *int64) int64 { return *n }

package record

import (
	"encoding/binary"
	"math"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// timestamp is a record's time.
type timestamp struct {
	sec  int64
	nsec uint32
}

// The values of seconds that mark groups (flb_log_event.h, since Fluent Bit 3.2).
const (
	groupStart = -1
	groupEnd   = -2
)

// lastSecond is the end of the year 9999. Later times are invalid.
const lastSecond = 253_402_300_799

func (t timestamp) seconds() float64 { return float64(t.sec) + float64(t.nsec)/1e9 }

// milliseconds returns the milliseconds since 1970. It reports false for a time
// that the service would refuse.
func (t timestamp) milliseconds() (int64, bool) {
	if t.sec < 0 || t.sec > lastSecond {
		return 0, false
	}
	return t.sec*1000 + min(int64(t.nsec)/1_000_000, 999), true
}

// eventTime reads Fluent Bit's extension type 0: seconds and nanoseconds. Only
// group markers have negative seconds.
func eventTime(h msgpack.Head, payload []byte) (timestamp, bool) {
	if h.Kind != msgpack.Extension || h.Bits != 0 || h.N != 8 {
		return timestamp{}, false
	}
	sec := binary.BigEndian.Uint32(payload)
	t := timestamp{sec: int64(sec), nsec: binary.BigEndian.Uint32(payload[4:])}
	if marker := int64(int32(sec)); marker == groupStart || marker == groupEnd {
		t.sec = marker
	}
	return t, true
}

// readTime reads the first value as a time in any format that Fluent Bit writes.
func readTime(b []byte) (timestamp, bool) {
	h, rest := msgpack.Next(b)
	switch h.Kind {
	case msgpack.Extension:
		return eventTime(h, rest[:h.N])
	case msgpack.Int, msgpack.Uint:
		return timestamp{sec: h.Int64()}, true
	case msgpack.Float:
		f := h.Float64()
		if math.IsNaN(f) || f < groupEnd || f > lastSecond {
			return timestamp{}, false
		}
		sec := math.Floor(f)
		return timestamp{sec: int64(sec), nsec: uint32((f - sec) * 1e9)}, true
	default:
		return timestamp{}, false
	}
}

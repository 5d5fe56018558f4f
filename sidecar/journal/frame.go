package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/nova/novawire/sidecar/ledger"
)

// A frame is the length of its payload and a checksum, four bytes each, little
// endian, and the payload, whose first byte says what it is.
const (
	frameHead = 8
	maxFrame  = 1 << 30

	kindAppended = 'A' // id, items, body
	kindSettled  = 'S' // first, last, outcome
	kindSummed   = 'T' // next id, totals of all that went before
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errNotWhole = errors.New("frame is not whole")
	errUnknown  = errors.New("record of another version")
)

var le = binary.LittleEndian

func begin(dst []byte, kind byte) []byte {
	return append(append(dst, make([]byte, frameHead)...), kind)
}

func seal(frame []byte) {
	le.PutUint32(frame, uint32(len(frame)-frameHead))
	le.PutUint32(frame[4:], crc32.Checksum(frame[frameHead:], castagnoli))
}

func appended(dst []byte, r Record) []byte {
	dst = begin(dst, kindAppended)
	dst = le.AppendUint64(dst, r.ID)
	dst = le.AppendUint64(dst, uint64(r.Items))
	return append(dst, r.Body...)
}

func settled(dst []byte, first, last uint64, o Outcome) []byte {
	dst = begin(dst, kindSettled)
	how := uint64(o.Dropped) + 1
	if o.Exported {
		how = 0
	}
	for _, n := range []uint64{first, last, how, uint64(o.Rejected), uint64(o.Items)} {
		dst = le.AppendUint64(dst, n)
	}
	return dst
}

func summed(dst []byte, next uint64, t ledger.Totals) []byte {
	dst = begin(dst, kindSummed)
	for _, n := range append([]int64{int64(next), t.Accepted, t.Exported}, t.Dropped[:]...) {
		dst = le.AppendUint64(dst, uint64(n))
	}
	return dst
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := le.Uint32(head[:])
	if n == 0 || n > maxFrame {
		return nil, errNotWhole
	}
	payload, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows with what is there, not with what is claimed
	if err != nil || len(payload) < int(n) || crc32.Checksum(payload, castagnoli) != le.Uint32(head[4:]) {
		return nil, errNotWhole
	}
	return payload, nil
}

// live is the records without an outcome, in order of their numbers.
type live struct{ byID map[uint64]Record }

func newLive() *live { return &live{byID: map[uint64]Record{}} }

func (l *live) settle(first, last uint64) {
	for id := first; id <= last; id++ {
		delete(l.byID, id)
	}
}

func (l *live) records() (records []Record) {
	for _, r := range l.byID {
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b Record) int { return int(int64(a.ID - b.ID)) })
	return records
}

// apply repeats what a payload tells.
func (j *Journal) apply(l *live, payload []byte) error {
	kind, rest := payload[0], payload[1:]
	number := func(i int) uint64 { return le.Uint64(rest[8*i:]) }
	switch {
	case kind == kindAppended && len(rest) >= 16:
		r := Record{ID: number(0), Items: int(number(1)), Body: rest[16:]}
		l.byID[r.ID] = r
		j.next = r.ID + 1
		j.totals.Accepted += int64(r.Items)
	case kind == kindSettled && len(rest) == 40 && number(2) <= uint64(len(j.totals.Dropped)):
		o := Outcome{Exported: number(2) == 0, Rejected: int(number(3)), Items: int(number(4))}
		if !o.Exported {
			o.Dropped = ledger.Reason(number(2) - 1)
		}
		l.settle(number(0), number(1))
		o.book(&j.totals)
	case kind == kindSummed && len(rest) == 8*(3+len(j.totals.Dropped)):
		j.next = number(0)
		j.totals.Accepted, j.totals.Exported = int64(number(1)), int64(number(2))
		for i := range j.totals.Dropped {
			j.totals.Dropped[i] = int64(number(3 + i))
		}
	default:
		return errUnknown
	}
	return nil
}

package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/nova/novawire/sidecar/ledger"
)

// A frame is the length of its payload and a checksum, four bytes each, little
// endian, and the payload, whose first byte says what it is.
const (
	frameHead = 8
	maxFrame  = 1 << 30

	kindAppended = 'A' // id, items, body
	kindSettled  = 'S' // first, last, exported, dropped by reason
	kindTotals   = 'T' // next id, totals of everything before
)

var (
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
	errUnfinished = errors.New("the last frame is not finished")
	errLost       = errors.New("a frame is damaged, and everything after it")
	errDamaged    = errors.New("a frame is damaged")
	errUnknown    = errors.New("record of another version")
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

func settled(dst []byte, first, last uint64, t ledger.Totals) []byte {
	dst = begin(dst, kindSettled)
	dst = le.AppendUint64(dst, first)
	dst = le.AppendUint64(dst, last)
	for _, n := range append([]int64{t.Exported}, t.Dropped[:]...) {
		dst = le.AppendUint64(dst, uint64(n))
	}
	return dst
}

func totals(dst []byte, next uint64, t ledger.Totals) []byte {
	dst = begin(dst, kindTotals)
	for _, n := range append([]int64{int64(next), t.Accepted, t.Exported}, t.Dropped[:]...) {
		dst = le.AppendUint64(dst, uint64(n))
	}
	return dst
}

// readFrame returns the payload of the next frame and the bytes that it takes. Of a
// damaged frame whose end is known it returns the length and errDamaged: what comes
// after it can be read.
func readFrame(r io.Reader) (payload []byte, length int64, err error) {
	var head [frameHead]byte
	n, err := io.ReadFull(r, head[:])
	if err == io.EOF { //nolint:errorlint // as io.ReadFull has it
		return nil, 0, io.EOF
	} else if err != nil {
		return nil, int64(n), errUnfinished
	}
	size := le.Uint32(head[:])
	if size == 0 || size > maxFrame {
		return nil, frameHead, errLost
	}
	payload, err = io.ReadAll(io.LimitReader(r, int64(size))) // grows with what is there, not with what is claimed
	length = frameHead + int64(len(payload))
	if err != nil || len(payload) < int(size) {
		return nil, length, errUnfinished
	}
	if crc32.Checksum(payload, castagnoli) != le.Uint32(head[4:]) {
		return nil, length, errDamaged
	}
	return payload, length, nil
}

// live holds the records without an outcome, by number.
type live struct{ byID map[uint64]Record }

func newLive() *live { return &live{byID: map[uint64]Record{}} }

func (l *live) settle(first, last uint64) {
	if first > last {
		return
	}
	if last-first > uint64(len(l.byID)) { // also where a broken disk made the range up
		maps.DeleteFunc(l.byID, func(id uint64, _ Record) bool { return first <= id && id <= last })
		return
	}
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

// apply repeats what a payload says.
func (j *Journal) apply(l *live, payload []byte) error {
	kind, rest := payload[0], payload[1:]
	number := func(i int) uint64 { return le.Uint64(rest[8*i:]) }
	switch {
	case kind == kindAppended && len(rest) >= 16:
		r := Record{ID: number(0), Items: int(number(1)), Body: rest[16:]}
		l.byID[r.ID] = r
		j.next = max(j.next, r.ID+1)
		j.totals.Accepted += int64(r.Items)
	case kind == kindSettled && len(rest) == 8*(3+len(j.totals.Dropped)):
		l.settle(number(0), number(1))
		j.totals.Exported += int64(number(2))
		for i := range j.totals.Dropped {
			j.totals.Dropped[i] += int64(number(3 + i))
		}
	case kind == kindTotals && len(rest) == 8*(3+len(j.totals.Dropped)):
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

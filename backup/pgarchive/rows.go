package pgarchive

import (
	"encoding/binary"
	"math/bits"
)

// rows counts rows in COPY's text format and computes their fingerprint. In that format a
// tab ends a field, a newline ends a row, and neither is part of a value. It reads eight
// bytes at a time, because it reads every byte of every backup.
type rows struct {
	salts  []uint64 // of the columns, from their names
	table  Table
	column int
	row    uint64 // sum of the fields of the current row
	field  hash
	ended  bool // after the end-of-data mark
}

func newRows(columns []string) *rows {
	r := &rows{salts: make([]uint64, len(columns))}
	for i, name := range columns {
		r.salts[i] = uint64(textSum(name))
	}
	return r
}

// endOfData is the hash of the field `\.`, the end-of-data mark.
var endOfData = func() uint64 {
	var h hash
	_, _ = h.Write([]byte(`\.`))
	return h.sum()
}()

func (r *rows) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if r.field.pending == 0 && len(p) >= 8 {
			word := binary.LittleEndian.Uint64(p)
			control := lowBytes(word)
			if control == 0 {
				r.field.word(word)
				p = p[8:]
				continue
			}
			k := bits.TrailingZeros64(control) / 8
			if c := p[k]; c == '\t' || c == '\n' {
				r.field.tail(word, k)
				p = p[k+1:]
				r.end(c)
				continue
			}
		}
		if c := p[0]; c == '\t' || c == '\n' {
			r.end(c)
		} else {
			r.field.byte(c)
		}
		p = p[1:]
	}
	return n, nil
}

// end ends a field. A newline ends the row too.
func (r *rows) end(c byte) {
	sum := r.field.sum()
	r.field = hash{}
	if c == '\n' && r.column == 0 && sum == endOfData {
		r.ended = true
	}
	if !r.ended {
		salt := uint64(r.column)
		if r.column < len(r.salts) {
			salt = r.salts[r.column]
		}
		r.row += mix(sum, salt)
	}
	r.column++
	if c == '\t' {
		return
	}
	if !r.ended {
		r.table.Rows++
		r.table.Sum += Sum(mix(r.row, uint64(r.column)))
	}
	r.column, r.row = 0, 0
}

// lowBytes sets the high bit of each byte of the word that is less than 11; tab and
// newline are. Only the lowest bit that is set is certain.
func lowBytes(word uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	return (word - 11*ones) & ^word & highs
}

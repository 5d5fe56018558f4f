package redact

// The prefilter looks at each byte of a text once and says which rules may match: a
// rule needs one byte of some, or so many digits or capitals. The word of a byte has
// flags at its top and counts below, so that one addition and one "or" keep them all.
const (
	countBits = 24
	countMask = 1<<countBits - 1
	oneDigit  = 1
	oneUpper  = 1 << countBits // a capital or a digit
	flags     = 2 * countBits

	// maxSummed is how many bytes the counts hold; all rules scan a longer text.
	maxSummed = countMask
)

// seen is what the prefilter has seen.
type seen struct {
	flags          uint64
	digits, uppers int
}

func (r *Rules) look(text []byte) (s seen) {
	if len(text) > maxSummed {
		return seen{^uint64(0), len(text), len(text)}
	}
	var all, sum uint64
	for _, b := range text {
		v := r.class[b]
		all |= v
		sum += v
	}
	return seen{all >> flags, int(sum & countMask), int(sum >> countBits & countMask)}
}

// need is what a text has where a rule may match.
type need struct {
	bytes          string // one of these; "" for none
	digits, uppers int
	length         int

	flag uint64 // of the bytes
}

func (n *need) may(s seen, text []byte) bool {
	return (n.flag == 0 || n.flag&s.flags != 0) && s.digits >= n.digits && s.uppers >= n.uppers && len(text) >= n.length
}

// maxFlags is how many sets of bytes have flags. A rule beyond them scans every text.
const maxFlags = 64 - flags

// classify makes the table of the bytes.
func (r *Rules) classify() {
	for b := range r.class {
		if b >= '0' && b <= '9' {
			r.class[b] = oneDigit | oneUpper
		} else if b >= 'A' && b <= 'Z' {
			r.class[b] = oneUpper
		}
	}
	given := map[string]uint64{}
	for i := range r.values {
		n := &r.values[i].need
		if n.bytes == "" {
			continue
		}
		flag, ok := given[n.bytes]
		if !ok && len(given) < maxFlags {
			flag = 1 << len(given)
			given[n.bytes] = flag
			for j := range len(n.bytes) {
				r.class[n.bytes[j]] |= flag << flags
			}
		}
		n.flag = flag
	}
}

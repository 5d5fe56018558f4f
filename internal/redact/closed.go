package redact

// Readable returns the rules without what stands for those that cannot be read, or nil if
// all of them can be read. It is for what the fallback must not touch.
func (r *Rules) Readable() *Rules {
	if r == nil || r.allKeys == nil {
		return nil
	}
	readable := *r
	readable.allKeys, readable.allTexts = nil, nil
	return &readable
}

// ClosedKeys reports whether a rule that cannot be read might mean the value of any key, and
// counts it if so.
func (r *Redactor) ClosedKeys() bool { return r.countClosed(r.allKeys) }

// ClosedTexts reports whether a rule that cannot be read might mean any text, and counts it
// if so.
func (r *Redactor) ClosedTexts() bool { return r.countClosed(r.allTexts) }

func (r *Redactor) countClosed(t *target) bool {
	if t != nil {
		r.Counts[t.name]++
	}
	return t != nil
}

package inject

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// patch writes RFC 6902 operations, one after the other, straight into the JSON
// of the answer. Paths are relative to the pod.
type patch struct {
	json []byte
}

// operation writes all of an operation but its value. Pieces of the path are
// joined by slashes and escaped as RFC 6901 says.
func (p *patch) operation(op string, path ...string) {
	if len(p.json) == 0 {
		p.json = append(p.json, '[')
	} else {
		p.json = append(p.json, ',')
	}
	p.json = append(p.json, `{"op":"`...)
	p.json = append(p.json, op...)
	p.json = append(p.json, `","path":"`...)
	for _, piece := range path {
		p.json = append(p.json, '/')
		for i := range len(piece) {
			switch c := piece[i]; c {
			case '~':
				p.json = append(p.json, '~', '0')
			case '/':
				p.json = append(p.json, '~', '1')
			default:
				p.json = append(p.json, c) // keys and numbers: nothing that JSON escapes
			}
		}
	}
	p.json = append(p.json, '"')
}

func (p *patch) remove(path ...string) {
	p.operation("remove", path...)
	p.json = append(p.json, '}')
}

// add begins an operation whose value the caller writes, and then ends with end.
func (p *patch) add(path ...string) {
	p.operation("add", path...)
	p.json = append(p.json, `,"value":`...)
}

func (p *patch) replace(path ...string) {
	p.operation("replace", path...)
	p.json = append(p.json, `,"value":`...)
}

func (p *patch) end() { p.json = append(p.json, '}') }

func (p *patch) empty() bool { return len(p.json) == 0 }

// bytes is the finished patch; nil where there is nothing to change.
func (p *patch) bytes() []byte {
	if p.empty() {
		return nil
	}
	return append(p.json, ']')
}

func appendQuoted[B []byte | string](dst []byte, s B) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // invalid UTF-8 is replaced, which is all the error tells
	return dst
}

// appendMember writes ,"name":"value" where value is not empty.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	return appendQuoted(dst, value)
}

func appendVariable[B []byte | string](dst []byte, name string, value B) []byte {
	dst = append(dst, `{"name":"`...)
	dst = append(append(dst, name...), `","value":`...)
	return append(appendQuoted(dst, value), '}')
}

// appendFieldVariable refers to a field of the pod, by the downward API.
func appendFieldVariable(dst []byte, name, field string) []byte {
	dst = append(dst, `{"name":"`...)
	dst = append(append(dst, name...), `","valueFrom":{"fieldRef":{"fieldPath":"`...)
	return append(append(dst, field...), `"}}}`...)
}

func itoa(i int) string { return strconv.Itoa(i) } // small numbers cost no allocation

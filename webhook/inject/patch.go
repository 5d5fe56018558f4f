package inject

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// patch is a list of RFC 6902 operations, written directly as JSON. Paths are
// relative to the pod.
type patch struct {
	json []byte
}

// operation writes an operation without its value. It joins the elements of path
// with slashes and escapes them according to RFC 6901.
func (p *patch) operation(op string, path ...string) {
	if len(p.json) == 0 {
		p.json = append(p.json, '[')
	} else {
		p.json = append(p.json, ',')
	}
	p.json = append(p.json, `{"op":"`...)
	p.json = append(p.json, op...)
	p.json = append(p.json, `","path":"`...)
	for _, element := range path {
		p.json = append(p.json, '/')
		for i := range len(element) {
			switch c := element[i]; c {
			case '~':
				p.json = append(p.json, '~', '0')
			case '/':
				p.json = append(p.json, '~', '1')
			default:
				p.json = append(p.json, c) // keys and numbers need no JSON escapes
			}
		}
	}
	p.json = append(p.json, '"')
}

func (p *patch) remove(path ...string) {
	p.operation("remove", path...)
	p.json = append(p.json, '}')
}

// add begins an operation. The caller appends the value and then calls end.
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

// bytes returns the finished patch, or nil if it has no operation.
func (p *patch) bytes() []byte {
	if p.empty() {
		return nil
	}
	return append(p.json, ']')
}

func appendQuoted[B []byte | string](dst []byte, s B) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // the only error is invalid UTF-8, which has been replaced
	return dst
}

// appendMember appends ,"name":"value" unless value is empty.
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

// appendFieldVariable appends a variable that the downward API fills from a field of the pod.
func appendFieldVariable(dst []byte, name, field string) []byte {
	dst = append(dst, `{"name":"`...)
	dst = append(append(dst, name...), `","valueFrom":{"fieldRef":{"fieldPath":"`...)
	return append(append(dst, field...), `"}}}`...)
}

func itoa(i int) string { return strconv.Itoa(i) } // small numbers cost no allocation

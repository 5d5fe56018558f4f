package novawire

import (
	"fmt"
	"strings"
)

// Attribute is one element of an attribute list. A list that may hold
// Kubernetes variable references can have an element that is nothing but
// references, $(COMMON_ATTRIBUTES): its Key is empty and its Value verbatim,
// because only the kubelet knows which pairs it stands for.
type Attribute struct {
	Key   string
	Value string
}

// ParseAttributes reads a list in the form of OTEL_RESOURCE_ATTRIBUTES:
// key=value pairs joined by commas, keys and values percent-encoded
// (OpenTelemetry specification, Resource SDK, "Specifying resource information
// via an environment variable"). The specification lets an SDK discard the
// whole variable for one bad pair, so the reader is lenient where a meaning is
// plain (a stray "%", "=" or space stands for itself, an empty element is
// skipped) and returns what has none as mistakes, beside the good pairs.
func ParseAttributes(list string) (attributes []Attribute, mistakes []error) {
	if list == "" {
		return nil, nil
	}
	attributes = make([]Attribute, 0, 1+strings.Count(list, ","))
	for element := range strings.SplitSeq(list, ",") {
		element = strings.TrimSpace(element)
		if element == "" {
			continue
		}
		key, value, pair := strings.Cut(element, "=")
		key = percentDecode(strings.TrimSpace(key))
		switch {
		case !pair && isReferences(element):
			attributes = append(attributes, Attribute{Value: element})
		case !pair:
			mistakes = append(mistakes, fmt.Errorf("attribute %q has no value: use key=value", element))
		case key == "":
			mistakes = append(mistakes, fmt.Errorf("attribute %q has no key: use key=value", element))
		default:
			attributes = append(attributes, Attribute{Key: key, Value: percentDecode(strings.TrimSpace(value))})
		}
	}
	return attributes, mistakes
}

// AppendAttribute writes one element of a list, percent-encoded, with the comma
// that separates it from what dst holds after from.
func AppendAttribute(dst []byte, from int, a Attribute) []byte {
	if len(dst) > from {
		dst = append(dst, ',')
	}
	if a.Key == "" {
		return append(dst, a.Value...)
	}
	dst = appendPercentEncoded(dst, a.Key)
	dst = append(dst, '=')
	return appendPercentEncoded(dst, a.Value)
}

// FormatAttributes is the reverse of [ParseAttributes].
func FormatAttributes(attributes []Attribute) string {
	var dst []byte
	for _, a := range attributes {
		dst = AppendAttribute(dst, 0, a)
	}
	return string(dst)
}

// isReferences tells an element that consists of $(NAME) references alone.
func isReferences(element string) bool {
	for element != "" {
		rest, ok := strings.CutPrefix(element, "$(")
		if !ok {
			return false
		}
		end := strings.IndexByte(rest, ')')
		if end < 1 {
			return false
		}
		element = rest[end+1:]
	}
	return true
}

// The octets that need no encoding are W3C Baggage's baggage-octet, without
// "=", which separates, and "%", which encodes.
func plainOctet(c byte) bool {
	switch c {
	case '"', ',', ';', '\\', '=', '%':
		return false
	}
	return c > ' ' && c < 0x7f
}

const upperHex = "0123456789ABCDEF"

func appendPercentEncoded(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plainOctet(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// percentDecode decodes what is encoded and keeps a "%" that encodes nothing.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := unhex(s[i+1]), unhex(s[i+2]); high >= 0 && low >= 0 {
				decoded = append(decoded, byte(high<<4|low))
				i += 2
				continue
			}
		}
		decoded = append(decoded, s[i])
	}
	return string(decoded)
}

func unhex(c byte) int {
	return strings.IndexByte(upperHex, upper(c))
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}

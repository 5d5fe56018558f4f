// Package attribute reads and writes lists of OpenTelemetry resource attributes in
// the form of OTEL_RESOURCE_ATTRIBUTES.
package attribute

import (
	"fmt"
	"strconv"
	"strings"
)

// KeyValue is one element of an attribute list. A list that may hold
// Kubernetes variable references can have an element that is nothing but
// references, $(COMMON_ATTRIBUTES): its Key is empty and its Value verbatim,
// because only the kubelet knows which pairs it stands for.
type KeyValue struct {
	Key   string
	Value string
}

// Parse reads a list in the form of OTEL_RESOURCE_ATTRIBUTES: key=value pairs
// separated by commas, with percent-encoded keys and values (OpenTelemetry
// specification, Resource SDK, "Specifying resource information via an environment
// variable"). The specification lets an SDK discard the whole variable because of
// one bad pair. Parse accepts everything that is unambiguous: a stray "%", "=" or
// space stands for itself, an empty element is skipped. It returns an error for
// each other element, and all good pairs.
func Parse(list string) (attributes []KeyValue, mistakes []error) {
	for element := range strings.SplitSeq(list, ",") {
		key, text, err := Repair(element)
		switch {
		case err != nil:
			mistakes = append(mistakes, err)
		case key != "":
			_, value, _ := strings.Cut(text, "=")
			attributes = append(attributes, KeyValue{key, percentDecode(value)})
		case text != "":
			attributes = append(attributes, KeyValue{Value: text})
		}
	}
	return attributes, mistakes
}

// Repair reads one element of a list. It returns the decoded key and the element in
// the form that the specification requires: well-formed octets stay as they are,
// others are percent-encoded. Both are "" for an empty element. The key is "" for
// an element without "=" that contains a $(NAME) reference.
func Repair(element string) (key, text string, err error) {
	element = strings.TrimSpace(element)
	if element == "" {
		return "", "", nil
	}
	key, value, pair := strings.Cut(element, "=")
	switch key = strings.TrimSpace(key); {
	case !pair && strings.Contains(element, "$("):
		return "", element, nil
	case !pair:
		return "", "", fmt.Errorf("attribute %q is not key=value", element)
	case key == "":
		return "", "", fmt.Errorf("attribute %q has no key before the equals sign", element)
	}
	value = strings.TrimSpace(value)
	if wellFormed(key) && wellFormed(value) && len(key)+1+len(value) == len(element) {
		return percentDecode(key), element, nil
	}
	repaired := append(appendRepaired(nil, key), '=')
	return percentDecode(key), string(appendRepaired(repaired, value)), nil
}

// Append appends a percent-encoded attribute to a list that begins at from, with a
// comma in front of it unless it is the first.
func Append(list []byte, from int, a KeyValue) []byte {
	if len(list) > from {
		list = append(list, ',')
	}
	if a.Key == "" {
		return append(list, a.Value...)
	}
	list = append(appendPercentEncoded(list, a.Key), '=')
	return appendPercentEncoded(list, a.Value)
}

// Format is the reverse of [Parse].
func Format(attributes []KeyValue) string {
	var list []byte
	for _, a := range attributes {
		list = Append(list, 0, a)
	}
	return string(list)
}

// Set replaces the attribute that has the key of a, or appends a.
func Set(attributes []KeyValue, a KeyValue) []KeyValue {
	for i := range attributes {
		if attributes[i].Key == a.Key {
			attributes[i].Value = a.Value
			return attributes
		}
	}
	return append(attributes, a)
}

// plainOctet reports whether an octet needs no encoding: it is a baggage-octet of
// W3C Baggage, except "=" and "%", which have a meaning.
func plainOctet(c byte) bool {
	switch c {
	case '"', ',', ';', '\\', '=', '%':
		return false
	}
	return c > ' ' && c < 0x7f
}

const hexDigits = "0123456789ABCDEF"

func appendPercentEncoded(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plainOctet(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// appendRepaired appends s and encodes the octets that are neither plain nor encoded.
func appendRepaired(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if _, ok := encodedOctet(s[i:]); ok {
			dst = append(dst, s[i:i+3]...)
			i += 2
			continue
		}
		dst = appendPercentEncoded(dst, s[i:i+1])
	}
	return dst
}

func wellFormed(s string) bool {
	for i := 0; i < len(s); i++ {
		if plainOctet(s[i]) {
			continue
		}
		if _, ok := encodedOctet(s[i:]); !ok {
			return false
		}
		i += 2
	}
	return true
}

// percentDecode decodes %XX and keeps a "%" that is not followed by two hex digits.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := encodedOctet(s[i:]); ok {
			decoded = append(decoded, c)
			i += 2
			continue
		}
		decoded = append(decoded, s[i])
	}
	return string(decoded)
}

// encodedOctet decodes the %XX at the beginning of s and reports whether there is one.
func encodedOctet(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	octet, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(octet), err == nil
}

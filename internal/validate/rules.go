package validate

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var region = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{1,16}){0,2}-(central|((north|south)?(east|west)?))-[0-9]{1,2}$`)

// Region reports whether name has the form of an AWS region, such as eu-west-1,
// us-gov-east-1 or eusc-de-east-1. It does not know which regions exist.
func Region(name string) bool {
	return region.MatchString(name) && !strings.Contains(name, "--")
}

// RegionLabel reports whether name can be the region of an S3-compatible store,
// which names its regions as it likes, such as auto: lower-case letters, digits
// and dashes, at most 40.
func RegionLabel(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// HTTPURL parses an http or https URL with a host and, if it has one, a valid port.
// A user is refused: it would be a secret where URLs are printed.
func HTTPURL(value string) (*url.URL, bool) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || !validPort(u) {
		return nil, false
	}
	return u, true
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// Duration parses a duration in Go's notation that lies within the bounds.
func Duration(value string, minimum, maximum time.Duration) (time.Duration, bool) {
	d, err := time.ParseDuration(value)
	return d, err == nil && d >= minimum && d <= maximum
}

// WholeNumber parses a decimal number without a sign that lies within the bounds.
func WholeNumber(value string, minimum, maximum int) (int, bool) {
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(value)
	return n, err == nil && n >= minimum && n <= maximum
}

// Address reports whether value is host:port with a numeric port; the host may be empty.
func Address(value string) bool {
	_, err := netip.ParseAddrPort(value)
	if err == nil {
		return true
	}
	host, port, found := cutLast(value, ":")
	_, err = strconv.ParseUint(port, 10, 16)
	return found && err == nil && !strings.ContainsAny(host, "[]: /")
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

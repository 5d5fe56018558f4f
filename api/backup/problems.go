package backup

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nova/novawire/internal/validate"
)

// A value that is refused is told with what is allowed, and the functions of this file
// say what is wrong with it. Where the allowed values are a list of words,
// [errNotAllowed] says enough.

var (
	errEmpty = errors.New("it is empty")
	errQuote = errors.New("a double quote is not closed")
)

// problemOf returns what is wrong with a refused value, "" if the allowed values say
// enough or the value may hold a secret.
func problemOf(err error, shown string) string {
	if errors.Is(err, errNotAllowed) || shown == validate.Hidden {
		return ""
	}
	return err.Error()
}

// checkNumber accepts a whole number from minimum to maximum, without a sign.
func checkNumber(value string, minimum, maximum int) error {
	if _, ok := validate.WholeNumber(value, minimum, maximum); ok {
		return nil
	}
	if value == "" {
		return errEmpty
	}
	if strings.Trim(value, "0123456789") != "" {
		return errors.New("it is not a whole number")
	}
	if n, err := digits(value); err == nil && n < minimum {
		return fmt.Errorf("it is less than %d", minimum)
	}
	return fmt.Errorf("it is more than %d", maximum)
}

// outside returns the first character of a value that is not in a set, as a message.
func outside(value, set string) string {
	for _, c := range value {
		if !strings.ContainsRune(set, c) {
			return fmt.Sprintf("it contains %q", c)
		}
	}
	return ""
}

// checkCharacters accepts 1 to most bytes that are all in the set; what says which.
func checkCharacters(value, set, what string, most int) error {
	switch wrong := outside(value, set); {
	case value == "":
		return errEmpty
	case len(value) > most:
		return fmt.Errorf("it has %d characters, more than %d", len(value), most)
	case wrong != "":
		return fmt.Errorf("%s; allowed are %s", wrong, what)
	}
	return nil
}

// checkObjectName accepts an RFC 1123 subdomain, Kubernetes' rule for most names.
func checkObjectName(name string) error {
	if err := checkCharacters(name, lowerAndDigits+"-.", "lower-case letters, digits, dashes and dots", 253); err != nil {
		return err
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("a dash or a dot is at the begin, at the end, or beside a dot")
		}
	}
	return nil
}

func checkBucketName(name string) error {
	switch {
	case name == "":
		return errors.New("it names no bucket")
	case len(name) < 3:
		return fmt.Errorf("the name of the bucket, %s, is shorter than 3 characters", name)
	case len(name) > 63:
		return fmt.Errorf("the name of the bucket has %d characters, more than 63", len(name))
	}
	return nil
}

func checkEndpoint(value string) error {
	if _, ok := validate.HTTPURL(value); ok {
		return nil
	}
	u, err := url.Parse(value)
	switch {
	case value == "":
		return errEmpty
	case err == nil && u.User != nil:
		return errors.New("it contains a user, which would be shown wherever the URL is")
	case !strings.HasPrefix(value, "http://") && !strings.HasPrefix(value, "https://"):
		return errors.New("it does not begin with http:// or https://")
	case err == nil && u.Hostname() == "":
		return errors.New("it names no host")
	case err == nil:
		return errors.New("its port is not a number from 1 to 65535")
	}
	return errors.New("it is not a URL")
}

func checkDuration(value string, minimum, maximum time.Duration) error {
	d, err := time.ParseDuration(value)
	switch {
	case value == "":
		return errEmpty
	case err != nil && strings.Trim(value, "0123456789") == "":
		return errors.New("it has no unit")
	case err != nil:
		return errors.New("it is not a duration: units are h, m and s")
	case d < minimum:
		return errors.New("it is too short")
	case d > maximum:
		return errors.New("it is too long")
	}
	return nil
}

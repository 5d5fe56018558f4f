package cloudwatchlogs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/nova/novawire/fluentbit/delivery"
)

// errorKinds maps the service's errors to the errors of delivery (API reference,
// "Common Errors" and the errors of the four operations). An error that is not
// here means that nothing was stored: a missing permission, a busy service.
var errorKinds = map[string]error{
	"ThrottlingException":            delivery.ErrThrottled,
	"Throttling":                     delivery.ErrThrottled,
	"ThrottledException":             delivery.ErrThrottled,
	"TooManyRequestsException":       delivery.ErrThrottled,
	"RequestLimitExceeded":           delivery.ErrThrottled,
	"ResourceNotFoundException":      delivery.ErrNotFound,
	"ResourceAlreadyExistsException": delivery.ErrAlreadyExists,
	"InvalidParameterException":      delivery.ErrInvalid,
	"SerializationException":         delivery.ErrInvalid,
	"ValidationException":            delivery.ErrInvalid,
	"RequestEntityTooLargeException": delivery.ErrInvalid,
	"InternalFailure":                delivery.ErrResponseLost,
	"InternalServerException":        delivery.ErrResponseLost,
}

// credentialErrors are the errors that other credentials may avoid.
var credentialErrors = map[string]bool{
	"ExpiredTokenException": true, "ExpiredToken": true, "UnrecognizedClientException": true,
	"InvalidClientTokenId": true, "InvalidSignatureException": true,
}

// serviceError returns the error of a response. It includes the service's
// message, which distinguishes a missing permission from a wrong key and contains
// no secret.
func (c *Client) serviceError(operation string, response *http.Response, body []byte) error {
	name, message := parseError(response, body)
	if credentialErrors[name] {
		if cache, ok := c.Credentials.(interface{ Invalidate() }); ok {
			cache.Invalidate()
		}
	}
	meaning := errorKinds[name]
	switch {
	case meaning != nil:
	case response.StatusCode == http.StatusTooManyRequests:
		meaning = delivery.ErrThrottled
	case response.StatusCode == http.StatusRequestEntityTooLarge:
		meaning = delivery.ErrInvalid
	case response.StatusCode >= 500 && name == "":
		meaning = delivery.ErrResponseLost // a proxy in between gave up
	default:
		return fmt.Errorf("%s: answered %s %s: %s", operation, response.Status, name, message)
	}
	return fmt.Errorf("%s: %w: %s: %s", operation, meaning, name, message)
}

// parseError reads the error's name from where the protocol puts it: the body's
// __type, with or without a namespace, or a header.
func parseError(response *http.Response, body []byte) (name, message string) {
	var e struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Other   string `json:"Message"`
	}
	_ = json.Unmarshal(body, &e) // a body that is not JSON has no name
	for _, name = range []string{e.Type, e.Code, response.Header.Get("X-Amzn-Errortype")} {
		if name != "" {
			break
		}
	}
	name = name[strings.LastIndexByte(name, '#')+1:]
	name, _, _ = strings.Cut(name, ":")
	if message = e.Message; message == "" {
		message = e.Other
	}
	return name, message[:min(len(message), 500)]
}

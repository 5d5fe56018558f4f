package s3

import (
	"errors"
	"net/http"
	"strings"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

var errNoUpload = errors.New("no such upload")

// classify adds the category and the sentinel error to an error of the SDK.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if known := classifyCode(api.ErrorCode(), err); known != nil {
			return known
		}
	}
	var response *smithyhttp.ResponseError // the response to HEAD has no body, and so no code
	if errors.As(err, &response) {
		switch response.HTTPStatusCode() {
		case http.StatusForbidden, http.StatusUnauthorized:
			return backup.Fail(backupapi.CategoryPermission, err)
		case http.StatusNotFound:
			return errors.Join(backup.ErrNotFound, err)
		case http.StatusPreconditionFailed:
			return errors.Join(backup.ErrExists, err)
		}
	}
	return backup.Fail(backupapi.CategoryStore, err)
}

func classifyCode(code string, err error) error {
	switch code {
	case "NoSuchKey", "NotFound":
		return errors.Join(backup.ErrNotFound, err)
	case "PreconditionFailed":
		return errors.Join(backup.ErrExists, err)
	case "NoSuchUpload":
		return backup.Fail(backupapi.CategoryStore, errors.Join(errNoUpload, err))
	case "AccessDenied", "Forbidden", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AccessDeniedException":
		return backup.Fail(backupapi.CategoryPermission, err)
	}
	if expired[code] || strings.HasPrefix(code, "KMS.") { // of a key that is disabled, deleted or another account's
		return backup.Fail(backupapi.CategoryPermission, err)
	}
	return backup.Fail(backupapi.CategoryStore, err)
}

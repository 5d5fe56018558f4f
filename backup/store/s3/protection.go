package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"

	smithy "github.com/aws/smithy-go"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Protection implements [backup.Store].
func (s *Store) Protection(ctx context.Context) []backup.Protection {
	questions := []struct {
		question, permission string
		answer               func(context.Context) (string, error)
	}{
		{"bucket versioning", "s3:GetBucketVersioning", s.versioning},
		{"bucket object lock", "s3:GetBucketObjectLockConfiguration", s.objectLock},
		{"bucket lifecycle", "s3:GetLifecycleConfiguration", s.lifecycle},
		{"bucket public access", "s3:GetBucketPublicAccessBlock", s.publicAccess},
		{"bucket policy", "s3:GetBucketPolicyStatus", s.policyStatus},
	}
	var all []backup.Protection
	for _, q := range questions {
		answer, err := q.answer(ctx)
		if err != nil {
			answer = "not known: " + whyUnknown(err, q.permission) //nolint:contextcheck // only the error itself is classified
		}
		all = append(all, backup.Protection{Question: q.question, Answer: answer})
	}
	return all
}

func whyUnknown(err error, permission string) string {
	var api smithy.APIError
	switch {
	case backup.Category(context.Background(), classify(err)) == backupapi.CategoryPermission:
		return permission + " is not permitted"
	case errors.As(err, &api):
		return "the store answers " + api.ErrorCode()
	}
	return err.Error()
}

// isAnswer reports whether an error says that something is not configured.
func isAnswer(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

func (s *Store) versioning(ctx context.Context) (string, error) {
	var versioning struct{ Status string }
	err := s.ask(ctx, "versioning", &versioning)
	switch {
	case err != nil:
		return "", err
	case versioning.Status == "Enabled":
		return "on", nil
	case versioning.Status == "Suspended":
		return "suspended: what is deleted or overwritten now is gone", nil
	}
	return "off: what is deleted or overwritten is gone", nil
}

const noObjectLock = "off: whoever may delete backups can delete them at once"

func (s *Store) objectLock(ctx context.Context) (string, error) {
	var lock struct {
		Enabled string `xml:"ObjectLockEnabled"`
		Mode    string `xml:"Rule>DefaultRetention>Mode"`
		Days    int    `xml:"Rule>DefaultRetention>Days"`
		Years   int    `xml:"Rule>DefaultRetention>Years"`
	}
	err := s.ask(ctx, "object-lock", &lock)
	switch {
	case isAnswer(err, "ObjectLockConfigurationNotFoundError"):
		return noObjectLock, nil
	case err != nil:
		return "", err
	case lock.Enabled != "Enabled":
		return noObjectLock, nil
	}
	own := "; uploads set none"
	if s.set.LockMode != "" {
		own = fmt.Sprintf("; uploads set %s for %d days", strings.ToLower(s.set.LockMode), s.set.LockDays)
	}
	switch mode := strings.ToLower(lock.Mode); {
	case mode == "":
		return "on, without a default retention" + own, nil
	case lock.Years > 0:
		return fmt.Sprintf("on, by default %s for %d years", mode, lock.Years) + own, nil
	default:
		return fmt.Sprintf("on, by default %s for %d days", mode, lock.Days) + own, nil
	}
}

// lifecycleRule is a rule as far as it says something about backups.
type lifecycleRule struct {
	ID, Status  string
	Days        int    `xml:"Expiration>Days"`
	Date        string `xml:"Expiration>Date"`
	Noncurrent  int    `xml:"NoncurrentVersionExpiration>NoncurrentDays"`
	Abort       int    `xml:"AbortIncompleteMultipartUpload>DaysAfterInitiation"`
	Transitions []struct {
		StorageClass string
		Days         int
	} `xml:"Transition"`
}

func (s *Store) lifecycle(ctx context.Context) (string, error) {
	var lifecycle struct {
		Rules []lifecycleRule `xml:"Rule"`
	}
	err := s.ask(ctx, "lifecycle", &lifecycle)
	if err != nil && !isAnswer(err, "NoSuchLifecycleConfiguration") {
		return "", err
	}
	var rules []string
	for _, rule := range lifecycle.Rules {
		if rule.Status == "Enabled" {
			rules = append(rules, rule.String())
		}
	}
	if len(rules) == 0 {
		return "no rules", nil
	}
	return backup.Summarize(rules), nil
}

// String says what the rule does to backups. One that deletes objects overrides
// retention and holds.
func (r lifecycleRule) String() string {
	var does []string
	add := func(applies bool, format string, args ...any) {
		if applies {
			does = append(does, fmt.Sprintf(format, args...))
		}
	}
	add(r.Days > 0, "DELETES objects after %d days, whatever retention says", r.Days)
	add(r.Date != "", "DELETES objects on %s, whatever retention says", r.Date)
	add(r.Noncurrent > 0, "deletes old versions after %d days", r.Noncurrent)
	add(r.Abort > 0, "aborts uploads after %d days", r.Abort)
	for _, t := range r.Transitions {
		add(true, "moves objects to %s after %d days", t.StorageClass, t.Days)
	}
	add(len(does) == 0, "does something else")
	return fmt.Sprintf("rule %q %s", r.ID, strings.Join(does, " and "))
}

func (s *Store) publicAccess(ctx context.Context) (string, error) {
	var block struct {
		BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
	}
	err := s.ask(ctx, "publicAccessBlock", &block)
	if isAnswer(err, "NoSuchPublicAccessBlockConfiguration") {
		return "not blocked by the bucket", nil
	}
	if err != nil {
		return "", err
	}
	var off []string
	for _, setting := range []struct {
		name string
		on   bool
	}{
		{"BlockPublicAcls", block.BlockPublicAcls},
		{"IgnorePublicAcls", block.IgnorePublicAcls},
		{"BlockPublicPolicy", block.BlockPublicPolicy},
		{"RestrictPublicBuckets", block.RestrictPublicBuckets},
	} {
		if !setting.on {
			off = append(off, setting.name)
		}
	}
	if len(off) == 0 {
		return "blocked", nil
	}
	return "not blocked: these are off: " + strings.Join(off, ", "), nil
}

func (s *Store) policyStatus(ctx context.Context) (string, error) {
	var status struct{ IsPublic string }
	err := s.ask(ctx, "policyStatus", &status)
	switch {
	case isAnswer(err, "NoSuchBucketPolicy"):
		return "none", nil
	case err != nil:
		return "", err
	case strings.EqualFold(status.IsPublic, "true"):
		return "PUBLIC: anyone may use the bucket", nil
	}
	return "not public", nil
}

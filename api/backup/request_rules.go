package backup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nova/novawire/internal/validate"
)

type requestRule struct {
	key string
	set func(r *Request, value string) error
}

// requestRules is in the order of [Keys], which is the order of refusals.
var requestRules = []requestRule{
	{AnnotationEnabled, func(r *Request, v string) error { return setBool(&r.Enabled, v) }},
	{AnnotationSchedule, func(r *Request, v string) (err error) { r.Schedule, err = ParseCron(v); return err }},
	{AnnotationTimeZone, setTimeZone},
	{AnnotationBucket, func(r *Request, v string) error { return setVariable(&r.Bucket, EnvS3Bucket, v) }},
	{AnnotationRetentionDays, func(r *Request, v string) error { return setNumber(&r.RetentionDays, EnvRetentionDays, v) }},
	{AnnotationKeepMinimum, func(r *Request, v string) error { return setNumber(&r.KeepMinimum, EnvKeepMinimum, v) }},
	{AnnotationDatabases, func(r *Request, v string) error { return setVariable(&r.Databases, EnvDatabases, v) }},
	{AnnotationExcludeDatabases, func(r *Request, v string) error { return setVariable(&r.ExcludeDatabases, EnvExcludeDatabases, v) }},
	{AnnotationExcludeTableData, func(r *Request, v string) error { return setVariable(&r.ExcludeTableData, EnvExcludeTableData, v) }},
	{AnnotationURLSecret, setURLSecret},
	{AnnotationAWSSecret, func(r *Request, v string) error { return setObjectName(&r.AWSSecret, v) }},
	{AnnotationServiceAccount, func(r *Request, v string) error { return setObjectName(&r.ServiceAccount, v) }},
	{AnnotationAWSRegion, setRegion},
	{AnnotationS3Endpoint, func(r *Request, v string) error { return setVariable(&r.S3Endpoint, EnvS3Endpoint, v) }},
	{AnnotationParallelism, func(r *Request, v string) error { return setNumber(&r.Parallelism, EnvParallelism, v) }},
	{AnnotationDeadline, setDeadline},
	{AnnotationEncryptionRecipients, func(r *Request, v string) error { return setSecretKey(&r.EncryptionRecipients, v) }},
	{AnnotationEncryptionIdentity, func(r *Request, v string) error { return setSecretKey(&r.EncryptionIdentity, v) }},
	{AnnotationSigningKey, func(r *Request, v string) error { return setSecretKey(&r.SigningKey, v) }},
	{AnnotationEvidenceKey, func(r *Request, v string) error { return setSecretKey(&r.EvidenceKey, v) }},
	{AnnotationVerifyKey, func(r *Request, v string) error { return setSecretKey(&r.VerifyKey, v) }},
	{AnnotationCopyBucket, func(r *Request, v string) error { return setVariable(&r.CopyBucket, EnvCopyBucket, v) }},
	{AnnotationCopyS3Endpoint, func(r *Request, v string) error { return setVariable(&r.CopyS3Endpoint, EnvCopyEndpoint, v) }},
	{AnnotationCopyAWSRegion, func(r *Request, v string) error { return setVariable(&r.CopyAWSRegion, EnvCopyRegion, v) }},
	{AnnotationCopyAWSSecret, func(r *Request, v string) error { return setObjectName(&r.CopyAWSSecret, v) }},
	{AnnotationCopyRetentionDays, func(r *Request, v string) error { return setNumber(&r.CopyRetentionDays, EnvCopyRetentionDays, v) }},
	{AnnotationDrillSchedule, setDrillSchedule},
	{AnnotationSuspend, func(r *Request, v string) error { return setBool(&r.Suspend, v) }},
	{AnnotationOnDelete, setOnDelete},
	{AnnotationClientImage, setImage},
	{AnnotationRun, setRun},
	{AnnotationUnprotectedReason, setUnprotectedReason},
}

func setBool(field *bool, value string) error {
	if value != "true" && value != "false" { // strconv takes T and 1: not the language
		return errNotAllowed
	}
	*field = value == "true"
	return nil
}

// setTimeZone accepts what CronJob accepts: a name of the IANA database, which is part
// of the program.
func setTimeZone(r *Request, value string) error {
	if value == "" {
		return errEmpty
	}
	if strings.EqualFold(value, "local") {
		return errors.New("it depends on the machine")
	}
	if _, err := time.LoadLocation(value); err != nil {
		return errors.New("the database has no such name")
	}
	r.TimeZone = value
	return nil
}

// setVariable validates a value by the rule of the variable that passes it to pg-backup.
func setVariable(field *string, variable, value string) error {
	for _, v := range environment {
		if v.Name != variable || v.check == nil {
			continue
		}
		if err := v.check(value); err != nil {
			return err
		}
	}
	*field = value
	return nil
}

func setNumber(field *int, variable, value string) error {
	var text string
	if err := setVariable(&text, variable, value); err != nil {
		return err
	}
	n, err := digits(value)
	if err != nil {
		return err
	}
	*field = n
	return nil
}

func setDeadline(r *Request, value string) error {
	var text string
	if err := setVariable(&text, EnvDeadline, value); err != nil {
		return err
	}
	r.Deadline, _ = time.ParseDuration(value)
	return nil
}

// setURLSecret parses name/key, or name/user=key,password=key with host and port.
func setURLSecret(r *Request, value string) error {
	name, key, _ := strings.Cut(value, "/")
	secret := SecretKey{name, key}
	parts := secret.Parts()
	if parts == nil {
		return setSecretKey(&r.URLSecret, value)
	}
	for part, key := range parts {
		if !slices.Contains([]string{PartUser, PartPassword, PartHost, PartPort}, part) {
			return fmt.Errorf("%q is not user, password, host or port", validate.Redact(part))
		}
		if err := setSecretKey(&SecretKey{}, name+"/"+key); err != nil {
			return err
		}
	}
	for _, part := range []string{PartUser, PartPassword} {
		if parts[part] == "" {
			return fmt.Errorf("it names no key for the %s", part)
		}
	}
	if len(parts) != strings.Count(secret.Key, "=") {
		return errors.New("it names a part twice")
	}
	r.URLSecret = secret
	return nil
}

// setSecretKey parses name/key.
func setSecretKey(field *SecretKey, value string) error {
	name, key, ok := strings.Cut(value, "/")
	if !ok {
		return errors.New("it names no key: a slash is missing")
	}
	if err := checkObjectName(name); err != nil {
		return fmt.Errorf("the name: %w", err)
	}
	if err := checkCharacters(key, letters+lowerAndDigits+"-._", "letters, digits, dashes, dots and underscores", 253); err != nil {
		return fmt.Errorf("the key: %w", err)
	}
	*field = SecretKey{name, key}
	return nil
}

func setObjectName(field *string, value string) error {
	if err := checkObjectName(value); err != nil {
		return err
	}
	*field = value
	return nil
}

const (
	lowerAndDigits = "abcdefghijklmnopqrstuvwxyz0123456789"
	letters        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// isObjectName reports whether a name is an RFC 1123 subdomain, Kubernetes' rule for
// most names.
func isObjectName(name string) bool { return checkObjectName(name) == nil }

func setRegion(r *Request, value string) error {
	if err := checkRegion(value); err != nil {
		return err
	}
	r.AWSRegion = value
	return nil
}

func setDrillSchedule(r *Request, value string) (err error) {
	if r.Drill = value != DrillNever; r.Drill {
		r.DrillSchedule, err = ParseCron(value)
	}
	return err
}

func setOnDelete(r *Request, value string) error {
	switch policy := OnDelete(value); policy {
	case OnDeleteKeep, OnDeleteDelete:
		r.OnDelete = policy
		return nil
	}
	return errNotAllowed
}

func setImage(r *Request, value string) error {
	switch {
	case value == "":
		return errEmpty
	case len(value) > 512:
		return fmt.Errorf("it has %d characters, more than 512", len(value))
	case strings.ContainsAny(value, " \t\r\n"):
		return errors.New("it contains a blank")
	}
	r.ClientImage = value
	return nil
}

func setUnprotectedReason(r *Request, value string) error {
	switch {
	case value == "":
		return errEmpty
	case len(value) > 200:
		return fmt.Errorf("it has %d bytes, more than 200", len(value))
	case strings.IndexFunc(value, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0:
		return errors.New("it contains a character that cannot be printed")
	}
	r.UnprotectedReason = value
	return nil
}

func setRun(r *Request, value string) error {
	token := strings.TrimPrefix(value, runDrill)
	if err := checkCharacters(token, letters+lowerAndDigits+"-_.:+", "letters, digits and -_.:+", 63); err != nil {
		return err
	}
	r.Run = value
	return nil
}

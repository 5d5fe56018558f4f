package backup

import (
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
	if value == "" || strings.EqualFold(value, "local") {
		return errNotAllowed
	}
	if _, err := time.LoadLocation(value); err != nil {
		return errNotAllowed
	}
	r.TimeZone = value
	return nil
}

// setVariable validates a value by the rule of the variable that passes it to pg-backup.
func setVariable(field *string, variable, value string) error {
	for _, v := range environment {
		if v.Name == variable && v.Check(value) != nil {
			return errNotAllowed
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
		return errNotAllowed
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
		if !slices.Contains([]string{PartUser, PartPassword, PartHost, PartPort}, part) || setSecretKey(&SecretKey{}, name+"/"+key) != nil {
			return errNotAllowed
		}
	}
	if parts[PartUser] == "" || parts[PartPassword] == "" || len(parts) != strings.Count(secret.Key, "=") {
		return errNotAllowed
	}
	r.URLSecret = secret
	return nil
}

// setSecretKey parses name/key.
func setSecretKey(field *SecretKey, value string) error {
	name, key, ok := strings.Cut(value, "/")
	if !ok || !isObjectName(name) || key == "" || len(key) > 253 || strings.Trim(strings.ToLower(key), lowerAndDigits+"-._") != "" {
		return errNotAllowed
	}
	*field = SecretKey{name, key}
	return nil
}

func setObjectName(field *string, value string) error {
	if !isObjectName(value) {
		return errNotAllowed
	}
	*field = value
	return nil
}

const lowerAndDigits = "abcdefghijklmnopqrstuvwxyz0123456789"

// isObjectName reports whether a name is an RFC 1123 subdomain, Kubernetes' rule for
// most names.
func isObjectName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || strings.Trim(label, lowerAndDigits+"-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

func setRegion(r *Request, value string) error {
	if !validate.RegionLabel(value) {
		return errNotAllowed
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
	if value == "" || len(value) > 512 || strings.ContainsAny(value, " \t\r\n") {
		return errNotAllowed
	}
	r.ClientImage = value
	return nil
}

func setUnprotectedReason(r *Request, value string) error {
	if value == "" || len(value) > 200 || strings.IndexFunc(value, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0 {
		return errNotAllowed
	}
	r.UnprotectedReason = value
	return nil
}

func setRun(r *Request, value string) error {
	token := strings.TrimPrefix(value, runDrill)
	if token == "" || len(token) > 63 || strings.Trim(strings.ToLower(token), lowerAndDigits+"-_.:+") != "" {
		return errNotAllowed
	}
	r.Run = value
	return nil
}

package backup

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nova/novawire/internal/validate"
)

// The environment of pg-backup that other programs set or read.
const (
	EnvDatabaseURL         = "DATABASE_URL"
	EnvServerAddress       = "SERVER_ADDRESS"
	EnvConnectionSecret    = "CONNECTION_SECRET"
	EnvDatabases           = "DATABASES"
	EnvExcludeDatabases    = "EXCLUDE_DATABASES"
	EnvExcludeTableData    = "EXCLUDE_TABLE_DATA"
	EnvS3Bucket            = "S3_BUCKET"
	EnvS3Endpoint          = "S3_ENDPOINT"
	EnvRetentionDays       = "RETENTION_DAYS"
	EnvKeepMinimum         = "KEEP_MINIMUM"
	EnvParallelism         = "PARALLELISM"
	EnvDeadline            = "DEADLINE"
	EnvEncryptionFile      = "ENCRYPTION_RECIPIENTS_FILE"
	EnvIdentityFile        = "ENCRYPTION_IDENTITY_FILE"
	EnvSigningKeyFile      = "SIGNING_KEY_FILE"
	EnvVerifyKeyFile       = "VERIFY_KEY_FILE"
	EnvUnsigned            = "UNSIGNED_BACKUPS"
	EnvRunBy               = "RUN_BY"
	EnvLockWait            = "LOCK_WAIT_TIMEOUT"
	EnvClientDirectory     = "PG_BIN_DIR"
	EnvScratchDirectory    = "SCRATCH_DIR"
	EnvCloudWatchNamespace = "CLOUDWATCH_NAMESPACE"
	EnvServerEncryption    = "S3_SERVER_SIDE_ENCRYPTION"
	EnvKMSKey              = "S3_KMS_KEY_ID"
	EnvS3Checksum          = "S3_CHECKSUM"
	EnvLogFormat           = "LOG_FORMAT"
	EnvLogLevel            = "LOG_LEVEL"
	EnvTerminationPath     = "TERMINATION_MESSAGE_PATH"
	EnvObjectLock          = "S3_OBJECT_LOCK"
	EnvAWSRegion           = "AWS_REGION"
	EnvCopyBucket          = "COPY_BUCKET"
	EnvCopyEndpoint        = CopyPrefix + EnvS3Endpoint
	EnvCopyRegion          = CopyPrefix + EnvAWSRegion
	EnvCopyKMSKey          = CopyPrefix + EnvKMSKey
	EnvCopyCredentials     = CopyPrefix + "AWS_SHARED_CREDENTIALS_FILE"
	EnvCopyObjectLock      = CopyPrefix + EnvObjectLock
	EnvCopyRetentionDays   = CopyPrefix + EnvRetentionDays
)

// CopyPrefix begins the variables of the second store; the rest of the name is that of
// the variable that they replace there.
const CopyPrefix = "COPY_"

// The values of [EnvUnsigned].
const (
	UnsignedRefuse = "refuse"
	UnsignedWarn   = "warn"
)

// Variable describes one variable of pg-backup's environment.
// docs/backup.md is held equal to [Environment] by a test.
type Variable struct {
	Name     string
	Default  string // "" for none
	Allowed  string // the values that are accepted, in a few words
	Meaning  string
	Required bool // by every verb that reaches a store or a server
	Secret   bool // never logged, never accepted in full on the command line

	check func(string) error
}

// Flag is the variable's name on the command line, without the dashes.
func (v Variable) Flag() string {
	return strings.ReplaceAll(strings.ToLower(v.Name), "_", "-")
}

// Check returns a [validate.Refusal] when the value is not allowed. It does not
// repeat the value of a secret.
func (v Variable) Check(value string) error {
	if v.check == nil {
		return nil
	}
	err := v.check(value)
	if err == nil {
		return nil
	}
	refusal := validate.Refusal{Setting: v.Name, Value: validate.Redact(value), Allowed: v.Allowed}
	if v.Secret {
		refusal.Value = validate.Hidden
	}
	refusal.Problem = problemOf(err, refusal.Value)
	return refusal
}

// Environment lists the variables in the order of the documentation.
func Environment() []Variable {
	return append([]Variable(nil), environment...)
}

// errNotAllowed is replaced by a message that names the setting and what it allows.
var errNotAllowed = errors.New("the value is not allowed")

var environment = []Variable{
	{Name: EnvDatabaseURL, Allowed: "`postgres://user:password@host:port/database?sslmode=…`", Meaning: "the server; without a database in it, the whole server. Special characters of the password may be percent-encoded or plain", Required: true, Secret: true, check: checkDatabaseURL},
	{Name: EnvServerAddress, Allowed: "`host:port`", Meaning: "the server, if user and password are derived from the variables of its container, which have the prefix `SERVER_ENV_`; set by the controller. `DATABASE_URL` is used if they hold no password", check: checkAddress},
	{Name: EnvConnectionSecret, Allowed: "a Secret's name", Meaning: "the Secret whose keys are the variables with the prefix `SECRET_KEY_`, from which `DATABASE_URL` is derived; set by the controller"},
	{Name: EnvDatabases, Allowed: "`*`, or a comma list of database names; a name with a comma, a quote or blanks is quoted as in SQL: `\"a,b\"`", Meaning: "the databases that are backed up; `*` is every one that is not a template. Default: the one in `DATABASE_URL`, else `*`", check: checkDatabases},
	{Name: EnvExcludeDatabases, Allowed: "a comma list of psql patterns", Meaning: "databases that are not backed up: `*` is any text, `?` any character, `|` separates alternatives, and double quotes keep case and special characters", check: checkPatterns(1)},
	{Name: EnvExcludeTableData, Allowed: "a comma list of psql patterns, `table` or `schema.table`", Meaning: "tables that are backed up without their rows. Without a schema the pattern is for every schema; a partitioned table stands for its partitions", check: checkPatterns(2)},
	{Name: EnvS3Bucket, Allowed: "`s3://bucket/prefix`", Meaning: "where backups are kept; one server, one prefix", Required: true, check: checkLocation},
	{Name: EnvS3Endpoint, Allowed: "an `http` or `https` URL", Meaning: "S3-compatible store; path-style addressing", check: checkEndpoint},
	{Name: EnvAWSRegion, Default: "us-east-1", Allowed: "an AWS region", Meaning: "region of the bucket and of CloudWatch", check: checkRegion},
	{Name: EnvRetentionDays, Default: "7", Allowed: "a whole number of days from 1 to 36500", Meaning: "a backup younger than this is never deleted", check: atLeastOne},
	{Name: EnvKeepMinimum, Default: "3", Allowed: "a whole number from 1 to 36500", Meaning: "the newest backups of each database that are never deleted, however old", check: atLeastOne},
	{Name: EnvParallelism, Default: "2", Allowed: "1 to 16", Meaning: "dump or restore streams that move at a time", check: checkParallelism},
	{Name: EnvDeadline, Default: "4h", Allowed: "a duration from `1m` to `24h`", Meaning: "a verb that takes longer is stopped and counted as failed", check: durationBetween(time.Minute, 24*time.Hour)},
	{Name: EnvLockWait, Default: "5m", Allowed: "a duration from `1s` to `24h`", Meaning: "how long a dump waits for a table that is locked", check: durationBetween(time.Second, 24*time.Hour)},
	{Name: EnvEncryptionFile, Allowed: "a file's path", Meaning: "age recipients, one a line; backups are encrypted to all of them"},
	{Name: EnvIdentityFile, Allowed: "a file's path", Meaning: "age identities, to restore, drill or verify what was encrypted"},
	{Name: EnvSigningKeyFile, Allowed: "a file's path", Meaning: "OpenSSH Ed25519 key without a passphrase: `run` signs manifests with it, `drill` its verdicts and evidence"},
	{Name: EnvVerifyKeyFile, Allowed: "a file's path", Meaning: "public keys whose signatures are trusted, one a line, also as OpenSSH's ALLOWED SIGNERS; with it, what is unsigned or was changed is refused"},
	{Name: EnvUnsigned, Default: UnsignedRefuse, Allowed: "`refuse`, `warn`", Meaning: "what `VERIFY_KEY_FILE` does about a backup that is not signed: `warn` is for the time until the older ones are gone", check: anyOf(UnsignedRefuse, UnsignedWarn)},
	{Name: EnvRunBy, Allowed: "a name", Meaning: "who is named in the evidence of a drill; default: the system's user"},
	{Name: EnvServerEncryption, Allowed: "`AES256`, `aws:kms`, `aws:kms:dsse`", Meaning: "server-side encryption asked of S3", check: anyOf("AES256", "aws:kms", "aws:kms:dsse")},
	{Name: EnvKMSKey, Allowed: "a KMS key's id or ARN", Meaning: "key for `aws:kms`"},
	{Name: EnvS3Checksum, Default: "crc32c", Allowed: "`crc32c`, `none`", Meaning: "checksum sent with each part; `none` for stores that refuse it", check: anyOf("crc32c", "none")},
	{Name: EnvObjectLock, Allowed: "`governance:DAYS`, `compliance:DAYS`", Meaning: "Object Lock retention that uploads set; the bucket must have Object Lock", check: checkObjectLock},
	{Name: EnvCopyBucket, Allowed: "`s3://bucket/prefix`", Meaning: "second store: each committed backup is copied there as it is, and read back", check: checkLocation},
	{Name: EnvCopyEndpoint, Allowed: "an `http` or `https` URL", Meaning: "S3-compatible store of the copy; default: `S3_ENDPOINT`", check: checkEndpoint},
	{Name: EnvCopyRegion, Allowed: "an AWS region", Meaning: "region of the copy; default: `AWS_REGION`", check: checkRegion},
	{Name: EnvCopyCredentials, Allowed: "a file's path", Meaning: "credentials for the copy, if it is another account's; default: those of the first store"},
	{Name: EnvCopyKMSKey, Allowed: "a KMS key's id or ARN", Meaning: "key for `aws:kms` in the copy; default: the account's key for S3"},
	{Name: EnvCopyObjectLock, Allowed: "`governance:DAYS`, `compliance:DAYS`", Meaning: "Object Lock retention of the copy; default: none", check: checkObjectLock},
	{Name: EnvCopyRetentionDays, Allowed: "a whole number of days from 1 to 36500", Meaning: "retention of the copy; default: `RETENTION_DAYS`", check: atLeastOne},
	{Name: EnvClientDirectory, Allowed: "a folder's path", Meaning: "where `pg_dump` and the rest are; default: `PATH` and the places that Debian, Bitnami, Alpine and the official images use"},
	{Name: EnvScratchDirectory, Allowed: "a folder's path", Meaning: "where a drill keeps its throw-away server; default: the system's temporary folder"},
	{Name: EnvCloudWatchNamespace, Default: "Nova/Backup", Allowed: "a CloudWatch namespace, or `none`", Meaning: "where metrics go; `none` sends none"},
	{Name: EnvLogFormat, Default: "json", Allowed: "`json`, `text`", Meaning: "form of the log on stderr", check: anyOf("json", "text")},
	{Name: EnvLogLevel, Default: "info", Allowed: "`debug`, `info`, `warn`, `error`", Meaning: "the least that is logged", check: anyOf("debug", "info", "warn", "error")},
	{Name: EnvTerminationPath, Default: "/dev/termination-log", Allowed: "a file's path", Meaning: "where the result is written as JSON, if that file exists"},
}

func checkDatabaseURL(value string) error {
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(value, scheme); ok && rest != "" {
			return nil
		}
	}
	return errNotAllowed
}

func checkAddress(value string) error {
	if !validate.Address(value) {
		return errors.New("it is not a host and a port with a colon between them")
	}
	return nil
}

func checkDatabases(value string) error {
	_, _, err := SplitDatabases(value)
	return err
}

// SplitDatabases splits a comma list of database names. A name in double quotes is
// taken literally, with "" for a quote, as in SQL: "a,b" is one database. all reports
// whether the list contains *, which is every database.
func SplitDatabases(list string) (names []string, all bool, err error) {
	for rest := list; ; {
		rest = strings.TrimSpace(rest)
		var name string
		if strings.HasPrefix(rest, `"`) {
			name, rest, err = cutQuoted(rest[1:])
			if rest = strings.TrimSpace(rest); err != nil {
				return nil, false, err
			}
			if rest != "" && rest[0] != ',' {
				return nil, false, errors.New("a comma is missing after a quoted name")
			}
		} else {
			end := strings.IndexByte(rest, ',')
			if end < 0 {
				end = len(rest)
			}
			name, rest = strings.TrimSpace(rest[:end]), rest[end:]
			all = all || name == "*"
		}
		if name == "" {
			return nil, false, errors.New("one of the names is empty")
		}
		if strings.ContainsRune(name, 0) {
			return nil, false, errors.New("one of the names contains a NUL character")
		}
		names = append(names, name)
		if rest == "" {
			return names, all, nil
		}
		rest = rest[1:] // the comma
	}
}

// cutQuoted returns the name up to the closing quote, and what follows the quote.
func cutQuoted(text string) (name, rest string, err error) {
	for {
		before, after, found := strings.Cut(text, `"`)
		if !found {
			return "", "", errQuote
		}
		name += before
		if text, found = strings.CutPrefix(after, `"`); !found {
			return name, after, nil
		}
		name += `"`
	}
}

// storeLocations lists the checks of a store's URL by its scheme.
var storeLocations = map[string]func(location string) error{
	"s3": checkS3Location,
}

func checkLocation(value string) error {
	scheme, _, _ := strings.Cut(value, "://")
	if check := storeLocations[scheme]; check != nil {
		return check(value)
	}
	return errors.New("it does not begin with s3://")
}

func checkS3Location(value string) error {
	_, _, err := SplitBucket(value)
	return err
}

// SplitBucket takes s3://bucket/prefix apart; the prefix has no slash at its ends.
func SplitBucket(value string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(value, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok {
		return "", "", errors.New("it does not begin with s3://")
	}
	if i := strings.IndexAny(value, " \t\r\n?#"); i >= 0 {
		return "", "", fmt.Errorf("it contains %q", value[i])
	}
	if err := checkBucketName(bucket); err != nil {
		return "", "", err
	}
	return bucket, strings.Trim(prefix, "/"), nil
}

func checkObjectLock(value string) error {
	_, _, err := SplitObjectLock(value)
	return err
}

// SplitObjectLock takes MODE:DAYS apart; the mode of "" is "".
func SplitObjectLock(value string) (mode string, days int, err error) {
	if value == "" {
		return "", 0, nil
	}
	mode, text, _ := strings.Cut(value, ":")
	if mode != "governance" && mode != "compliance" {
		return "", 0, errNotAllowed
	}
	days, ok := validate.WholeNumber(text, 1, maximumNumber)
	if !ok {
		return "", 0, fmt.Errorf("the days: %w", checkNumber(text, 1, maximumNumber))
	}
	return mode, days, nil
}

// checkRegion takes the names of S3-compatible stores as well.
func checkRegion(value string) error {
	return checkCharacters(value, lowerAndDigits+"-", "lower-case letters, digits and dashes", 40)
}

// maximumNumber bounds the numbers that have no bound of their own, so that no
// arithmetic on them overflows: a century of days.
const maximumNumber = 36500

func atLeastOne(value string) error {
	return checkNumber(value, 1, maximumNumber)
}

func checkParallelism(value string) error {
	return checkNumber(value, 1, 16)
}

func durationBetween(minimum, maximum time.Duration) func(string) error {
	return func(value string) error { return checkDuration(value, minimum, maximum) }
}

func anyOf(values ...string) func(string) error {
	return func(value string) error {
		for _, v := range values {
			if v == value {
				return nil
			}
		}
		return errNotAllowed
	}
}

// Package s3 stores backups in S3 and in stores with the same protocol. It retries
// requests, renews expired credentials, and gives every error a category. It decides
// nothing about backups.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/aws/credentials"
)

// Settings are the bucket and the connection to it.
type Settings struct {
	Bucket, Prefix string
	Region         string
	Endpoint       string // of a store other than AWS; with path-style addresses
	Credentials    credentials.Provider
	Encryption     string // server-side: AES256, aws:kms, aws:kms:dsse
	KMSKey         string
	NoChecksum     bool // for stores that refuse CRC32C
	// LockMode is GOVERNANCE or COMPLIANCE: what is written once and never replaced is
	// locked for LockDays. "" locks nothing.
	LockMode string
	LockDays int
	// MaxAttempts is how often a request is tried; 0 is the default.
	MaxAttempts int
	// MaxBackoff bounds the wait between tries; 0 is the default.
	MaxBackoff time.Duration
}

// Store is a prefix of a bucket; see [backup.Store].
type Store struct {
	client *sdk.Client
	set    Settings
}

// New returns the store. It sends no request.
func New(set Settings) *Store {
	options := sdk.Options{
		Region:                     set.Region,
		Credentials:                set.Credentials,
		HTTPClient:                 newHTTPClient(),
		Retryer:                    newRetryer(set),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired, // SHA-256 is in the manifest
		DisableLogOutputChecksumValidationSkipped: true,
	}
	options.APIOptions = append(options.APIOptions, (&renewal{set.Credentials, options.Retryer}).add)
	if set.Endpoint != "" {
		options.BaseEndpoint = &set.Endpoint
		options.UsePathStyle = true
	}
	return &Store{client: sdk.New(options), set: set}
}

// Location implements [backup.Store].
func (s *Store) Location() string { return "s3://" + path.Join(s.set.Bucket, s.set.Prefix) }

func (s *Store) key(key string) *string { return aws.String(s.prefix() + key) }

func (s *Store) prefix() string {
	if s.set.Prefix == "" {
		return ""
	}
	return s.set.Prefix + "/"
}

// List implements [backup.Reader].
func (s *Store) List(ctx context.Context, prefix string, each func(backup.Object) error) error {
	pages := sdk.NewListObjectsV2Paginator(s.client, &sdk.ListObjectsV2Input{Bucket: &s.set.Bucket, Prefix: s.key(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return classify(err)
		}
		for _, o := range page.Contents {
			object := backup.Object{Key: strings.TrimPrefix(aws.ToString(o.Key), s.prefix()), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified), ETag: aws.ToString(o.ETag)}
			if err := each(object); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stat implements [backup.Reader].
func (s *Store) Stat(ctx context.Context, key string) (backup.Object, error) {
	out, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.set.Bucket, Key: s.key(key)})
	if err != nil {
		return backup.Object{}, classify(err)
	}
	return backup.Object{Key: key, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified)}, nil
}

// Open implements [backup.Reader].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r := &reader{ctx: ctx, store: s, key: key}
	if err := r.reopen(); err != nil {
		return nil, err
	}
	return r, nil
}

// Now implements [backup.Remover].
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	out, err := s.client.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: &s.set.Bucket, Prefix: s.key(""), MaxKeys: aws.Int32(1)})
	if err != nil {
		return time.Time{}, classify(err)
	}
	if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		return at, nil
	}
	return time.Time{}, classify(errors.New("the store's answer has no date"))
}

// noExpiry is the end of a legal hold, which has none.
var noExpiry = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// LockedUntil implements [backup.Remover].
func (s *Store) LockedUntil(ctx context.Context, key string) (time.Time, error) {
	out, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.set.Bucket, Key: s.key(key)})
	if err != nil {
		if err = classify(err); errors.Is(err, backup.ErrNotFound) {
			return time.Time{}, nil
		}
		return time.Time{}, err
	}
	if out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn {
		return noExpiry, nil
	}
	now, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if until := aws.ToTime(out.ObjectLockRetainUntilDate); ok && until.After(now) {
		return until, nil
	}
	return time.Time{}, nil
}

// maxDeletes is how many keys one request may have.
const maxDeletes = 1000

// Delete implements [backup.Remover].
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for len(keys) > 0 {
		n := min(len(keys), maxDeletes)
		batch := make([]types.ObjectIdentifier, n)
		for i, key := range keys[:n] {
			batch[i].Key = s.key(key)
		}
		keys = keys[n:]
		out, err := s.client.DeleteObjects(ctx, &sdk.DeleteObjectsInput{Bucket: &s.set.Bucket, Delete: &types.Delete{Objects: batch, Quiet: aws.Bool(true)}})
		if err != nil {
			return classify(err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != "NoSuchKey" {
				return classifyCode(code, fmt.Errorf("%s: %s: %s", aws.ToString(e.Key), code, aws.ToString(e.Message)))
			}
		}
	}
	return nil
}

// Unfinished implements [backup.Remover].
func (s *Store) Unfinished(ctx context.Context, each func(backup.Unfinished) error) error {
	in := &sdk.ListMultipartUploadsInput{Bucket: &s.set.Bucket, Prefix: s.key("")}
	for {
		out, err := s.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return classify(err)
		}
		for _, u := range out.Uploads {
			found := backup.Unfinished{Key: strings.TrimPrefix(aws.ToString(u.Key), s.prefix()), Upload: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)}
			if err := each(found); err != nil {
				return err
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

// Discard implements [backup.Remover].
func (s *Store) Discard(ctx context.Context, u backup.Unfinished) error {
	return s.abort(ctx, u.Key, u.Upload)
}

var _ backup.Store = (*Store)(nil)

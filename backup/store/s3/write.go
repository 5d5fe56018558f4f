package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/nova/novawire/backup"
)

// Put implements [backup.Writer].
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	return s.put(ctx, key, body, nil)
}

// PutNew implements [backup.Writer].
func (s *Store) PutNew(ctx context.Context, key string, body []byte) error {
	return s.put(ctx, key, body, aws.String("*"))
}

func (s *Store) put(ctx context.Context, key string, body []byte, ifNoneMatch *string) error {
	in := &sdk.PutObjectInput{
		Bucket: &s.set.Bucket, Key: s.key(key), Body: bytes.NewReader(body), IfNoneMatch: ifNoneMatch,
		ContentLength:        aws.Int64(int64(len(body))),
		ChecksumCRC32C:       s.checksum(body),
		ServerSideEncryption: types.ServerSideEncryption(s.set.Encryption), SSEKMSKeyId: s.kmsKey(),
	}
	if ifNoneMatch != nil {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = s.lock()
	}
	_, err := s.client.PutObject(ctx, in)
	return classify(err)
}

// Begin implements [backup.Writer].
func (s *Store) Begin(ctx context.Context, key string) (backup.Upload, error) {
	in := &sdk.CreateMultipartUploadInput{
		Bucket: &s.set.Bucket, Key: s.key(key),
		ServerSideEncryption: types.ServerSideEncryption(s.set.Encryption), SSEKMSKeyId: s.kmsKey(),
	}
	in.ObjectLockMode, in.ObjectLockRetainUntilDate = s.lock()
	if !s.set.NoChecksum {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	}
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return nil, classify(err)
	}
	return &upload{store: s, key: key, id: aws.ToString(out.UploadId)}, nil
}

// lock returns the retention of an object that is written once: the objects of a backup,
// its manifest with its signature, and evidence. What is replaced later (verdicts,
// summaries, holds) is not locked.
func (s *Store) lock() (types.ObjectLockMode, *time.Time) {
	if s.set.LockMode == "" {
		return "", nil
	}
	return types.ObjectLockMode(s.set.LockMode), aws.Time(time.Now().UTC().AddDate(0, 0, s.set.LockDays))
}

// upload is an object that is being written in parts.
type upload struct {
	store   *Store
	key, id string

	mu    sync.Mutex
	parts []types.CompletedPart
	size  int64
}

// Part implements [backup.Upload].
func (u *upload) Part(ctx context.Context, number int, body []byte) error {
	sum := u.store.checksum(body)
	out, err := u.store.client.UploadPart(ctx, &sdk.UploadPartInput{
		Bucket: &u.store.set.Bucket, Key: u.store.key(u.key), UploadId: &u.id,
		PartNumber: aws.Int32(int32(number)), Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ChecksumCRC32C: sum,
	}, sdk.WithAPIOptions(u.store.partSigning()...))
	if err != nil {
		return classify(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(int32(number)), ChecksumCRC32C: sum})
	u.size += int64(len(body))
	return nil
}

// partSigning leaves the payload of parts out of the signature if CRC32C protects it
// during the transfer. Hashing every byte here and in the store takes a tenth of a run. A
// part that was replaced is found by the SHA-256 in the manifest, whose request is signed
// with its payload. See decision 0502.
func (s *Store) partSigning() []func(*middleware.Stack) error {
	if s.set.NoChecksum {
		return nil
	}
	return []func(*middleware.Stack) error{v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware}
}

// Complete implements [backup.Upload]. If an attempt succeeded and its response was lost,
// the next attempt finds no upload: an object of the right size then is the success.
func (u *upload) Complete(ctx context.Context) error {
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	_, err := u.store.client.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{
		Bucket: &u.store.set.Bucket, Key: u.store.key(u.key), UploadId: &u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	if errors.Is(classify(err), errNoUpload) {
		if there, statErr := u.store.Stat(ctx, u.key); statErr == nil && there.Size == u.size {
			return nil
		}
	}
	return classify(err)
}

// Abort implements [backup.Upload].
func (u *upload) Abort(ctx context.Context) error { return u.store.abort(ctx, u.key, u.id) }

func (s *Store) abort(ctx context.Context, key, id string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: &s.set.Bucket, Key: s.key(key), UploadId: &id})
	if err = classify(err); errors.Is(err, errNoUpload) {
		return nil
	}
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the checksum that S3 compares with the bytes that it received.
func (s *Store) checksum(body []byte) *string {
	if s.set.NoChecksum {
		return nil
	}
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.Checksum(body, castagnoli))
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

func (s *Store) kmsKey() *string {
	if s.set.KMSKey == "" {
		return nil
	}
	return &s.set.KMSKey
}

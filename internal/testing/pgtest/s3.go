package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkcredentials "github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Keys of the S3 server.
const (
	AccessKey = "pgtest"
	SecretKey = "pgtest-secret"
	Region    = "us-east-1"
)

// S3 is a versitygw over a temporary folder.
type S3 struct {
	Endpoint string
	dir      string
	proc     *process
}

var sharedS3 = sync.OnceValues(newS3)

// SharedS3 returns the one S3 server of the package's tests.
func SharedS3(t testing.TB) *S3 {
	t.Helper()
	if versitygw() == "" {
		Missing(t, "versitygw", "versitygw")
	}
	s, err := sharedS3()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NewS3 returns an S3 server of the test's own.
func NewS3(t testing.TB) *S3 {
	t.Helper()
	if versitygw() == "" {
		Missing(t, "versitygw", "versitygw")
	}
	s, err := newS3()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func versitygw() string {
	path := os.Getenv("NOVAWIRE_VERSITYGW")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		found, _ := filepath.Glob(filepath.Join(cache, "novawire/bin/versitygw-v*"))
		if len(found) == 0 {
			return ""
		}
		path = found[len(found)-1]
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func newS3() (*S3, error) {
	dir, err := folder("pgtest-s3-")
	if err != nil {
		return nil, err
	}
	data, versions, side := filepath.Join(dir, "data"), filepath.Join(dir, "versions"), filepath.Join(dir, "side")
	for _, d := range []string{data, versions, side} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), versitygw(), "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", "127.0.0.1:"+port, "--quiet", "--keep-alive",
		"posix", "--versioning-dir", versions, "--sidecar", side, data)
	s := &S3{Endpoint: "http://127.0.0.1:" + port, dir: dir}
	if s.proc, err = startProcess(cmd, filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	atExit(func() {
		s.proc.stop(syscall.SIGTERM)
		_ = os.RemoveAll(dir)
	})
	err = s.proc.ready(func() error {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return nil, fmt.Errorf("start versitygw: %w", err)
	}
	return s, nil
}

// Client returns a client of the SDK, with which tests inspect the bucket.
func (s *S3) Client() *sdk.Client {
	return sdk.New(sdk.Options{
		Region: Region, BaseEndpoint: &s.Endpoint, UsePathStyle: true,
		Credentials: sdkcredentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	})
}

var buckets atomic.Int64

// Bucket makes a new bucket.
func (s *S3) Bucket(t testing.TB, options ...func(*sdk.CreateBucketInput)) string {
	t.Helper()
	in := &sdk.CreateBucketInput{Bucket: aws.String(fmt.Sprintf("bucket-%d", buckets.Add(1)))}
	for _, o := range options {
		o(in)
	}
	if _, err := s.Client().CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return *in.Bucket
}

// Keys lists a bucket.
func (s *S3) Keys(t testing.TB, bucket string) (keys []string) {
	t.Helper()
	pages := sdk.NewListObjectsV2Paginator(s.Client(), &sdk.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

// OpenUploads counts uploads that were begun and neither completed nor aborted.
func (s *S3) OpenUploads(t testing.TB, bucket string) int {
	t.Helper()
	out, err := s.Client().ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}

// Path is where the server keeps an object, for tests that damage it.
func (s *S3) Path(bucket, key string) string { return filepath.Join(s.dir, "data", bucket, key) }

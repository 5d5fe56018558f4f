package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/testing/iam"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// recorder notes what IAM would have to allow.
type recorder struct {
	mu    sync.Mutex
	calls []iam.Call
}

func (r *recorder) add(calls ...iam.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, calls...)
}

func (r *recorder) take() []iam.Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// Each call to S3 and CloudWatch is allowed by the policy of the role that makes it, and the
// policy has no action that no call needs.
func TestIAM(t *testing.T) {
	b := newEnvironment(t)
	var seen recorder
	cloudwatch := &fakeCloudWatch{}
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cloudwatch.ServeHTTP(w, r)
		seen.add(iam.Call{Action: "cloudwatch:PutMetricData", Resource: "*", Context: "cloudwatch:namespace=Nova/Backup"})
	}))
	defer metrics.Close()
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	var refuseParts atomic.Bool
	var abandoned atomic.Value // the answer to a listing of uploads
	abandoned.Store("")
	proxy.Add(func(w http.ResponseWriter, r *http.Request) bool {
		named := r.Clone(r.Context())
		named.URL.Path = strings.Replace(r.URL.Path, "/"+b.bucket, "/"+iam.Bucket, 1)
		seen.add(iam.S3(named)...)
		if answer := abandoned.Load().(string); answer != "" && r.Method == http.MethodGet && r.URL.Query().Has("uploads") {
			_, _ = io.WriteString(w, answer)
			return true
		}
		return refuseParts.Load() && r.URL.Query().Has("partNumber") && pgtest.Refuse(http.StatusForbidden, "AccessDenied")(w, r)
	})
	b = b.with("S3_ENDPOINT", proxy.Endpoint, "S3_BUCKET", "s3://"+b.bucket+"/"+iam.Prefix+"/nova/auth-db", "AWS_ENDPOINT_URL_CLOUDWATCH", metrics.URL)
	small := b.pg.Database(t, social...)
	large := largeDatabase(t)

	check := func(t *testing.T, policies ...string) {
		t.Helper()
		calls := seen.take()
		policy := iam.Role(t, policies...)
		policy.Check(t, calls)
		for _, c := range calls {
			if other, ok := c.Outside(); ok && policy.Allows(other) {
				t.Errorf("the policy allows %+v, which is outside", other)
			}
		}
	}
	t.Run("the writer", func(t *testing.T) {
		b.must("run", "--databases", large)
		refuseParts.Store(true)
		b.fails(backupapi.CategoryPermission, "run", "--databases", large)
		refuseParts.Store(false)
		b.old(small, 30, 20, 15, 6)
		b.must("run", "--databases", small)
		b.must("hold", "--database", small, "--reason", "audit")
		b.must("drill", "--database", small)
		check(t, "read", "write", "prune")
	})
	t.Run("the pruner", func(t *testing.T) {
		b.must("hold", "--database", small, "--release")
		b.old(small, 31, 29)
		seen.take()
		abandoned.Store(b.abandon(small))
		b.must("prune")
		b.noUploads()
		check(t, "read", "prune")
	})
	t.Run("the restorer", func(t *testing.T) {
		b.must("list")
		b.must("verify", "--database", small)
		b.must("restore", "--database", small, "--to", small+"_restored")
		check(t, "read")
	})
}

// abandon begins an upload and returns a listing in which it is years old.
func (b *environment) abandon(database string) string {
	b.t.Helper()
	key := fmt.Sprintf("%s/nova/auth-db/%s/%s/base.00000", iam.Prefix, database, backup.NewID(time.Now().Add(-72*time.Hour), 7))
	upload, err := b.s3.Client().CreateMultipartUpload(b.t.Context(), &sdk.CreateMultipartUploadInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprintf(`<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>%s</Bucket><IsTruncated>false</IsTruncated>`+
		`<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>`, b.bucket, key, *upload.UploadId)
}

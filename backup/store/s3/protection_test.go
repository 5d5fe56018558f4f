package s3

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func answer(t *testing.T, s *Store, question string) string {
	t.Helper()
	for _, p := range s.Protection(t.Context()) {
		if p.Question == question {
			return p.Answer
		}
	}
	t.Fatalf("nothing is said of %q", question)
	return ""
}

// A real server, as far as it has what it is asked for.
func TestStore_Protection(t *testing.T) {
	server := pgtest.SharedS3(t)
	plain := server.Bucket(t)
	locked := server.Bucket(t, func(in *sdk.CreateBucketInput) { in.ObjectLockEnabledForBucket = aws.Bool(true) })
	versioned := server.Bucket(t)
	if _, err := server.Client().PutBucketVersioning(t.Context(), &sdk.PutBucketVersioningInput{
		Bucket: &versioned, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	byDefault := server.Bucket(t, func(in *sdk.CreateBucketInput) { in.ObjectLockEnabledForBucket = aws.Bool(true) })
	if _, err := server.Client().PutObjectLockConfiguration(t.Context(), &sdk.PutObjectLockConfigurationInput{
		Bucket: &byDefault, ObjectLockConfiguration: &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{
			DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(14)},
		}},
	}); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ bucket, question, want string }{
		{plain, "bucket versioning", "off"},
		{versioned, "bucket versioning", "on"},
		{plain, "bucket object lock", "off"},
		{locked, "bucket object lock", "on, without a default retention; uploads set none"},
		{byDefault, "bucket object lock", "on, by default governance for 14 days"},
		{plain, "bucket lifecycle", "not known: the store answers NotImplemented"},
		{plain, "bucket public access", "not known: the store answers NotImplemented"},
		{plain, "bucket policy", "none"},
	}
	for _, c := range cases {
		t.Run(c.question+": "+c.want, func(t *testing.T) {
			if got := answer(t, newStore(t, server.Endpoint, c.bucket, ""), c.question); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What AWS answers and the server does not know; the bodies are those of its API reference.
func TestStore_Protection_AWS(t *testing.T) {
	server := pgtest.SharedS3(t)
	xml := func(status int, body string) pgtest.Fault {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	lifecycle := `<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>old</ID><Filter/><Status>Enabled</Status>` +
		`<Expiration><Days>30</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>` +
		`<Rule><ID>off</ID><Filter/><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>`
	block := func(policy string) string {
		return `<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>` +
			`<BlockPublicPolicy>` + policy + `</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`
	}
	cases := []struct {
		question, want string
		fault          pgtest.Fault
	}{
		{"bucket lifecycle", `rule "old" DELETES objects after 30 days, whatever retention says and deletes old versions after 7 days`, xml(200, lifecycle)},
		{"bucket lifecycle", "no rules", pgtest.Refuse(404, "NoSuchLifecycleConfiguration")},
		{"bucket public access", "blocked", xml(200, block("true"))},
		{"bucket public access", "not blocked: these are off: BlockPublicPolicy", xml(200, block("false"))},
		{"bucket public access", "not blocked by the bucket", pgtest.Refuse(404, "NoSuchPublicAccessBlockConfiguration")},
		{"bucket policy", "PUBLIC", xml(200, `<PolicyStatus><IsPublic>TRUE</IsPublic></PolicyStatus>`)},
		{"bucket policy", "not public", xml(200, `<PolicyStatus><IsPublic>false</IsPublic></PolicyStatus>`)},
		{"bucket versioning", "not known: s3:GetBucketVersioning is not permitted", pgtest.Refuse(403, "AccessDenied")},
		{"bucket lifecycle", "not known: s3:GetLifecycleConfiguration is not permitted", pgtest.Refuse(403, "AccessDenied")},
	}
	for _, c := range cases {
		t.Run(c.question+": "+c.want, func(t *testing.T) {
			proxy := pgtest.NewProxy(t, server.Endpoint)
			proxy.Add(c.fault)
			if got := answer(t, newStore(t, proxy.Endpoint, "bucket", ""), c.question); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestStore_SetsObjectLock(t *testing.T) {
	server := pgtest.SharedS3(t)
	bucket := server.Bucket(t, func(in *sdk.CreateBucketInput) { in.ObjectLockEnabledForBucket = aws.Bool(true) })
	store := newStore(t, server.Endpoint, bucket, "p")
	store.set.LockMode, store.set.LockDays = "GOVERNANCE", 3
	until := time.Now().AddDate(0, 0, 3)
	if err := store.PutNew(t.Context(), "manifest", []byte("x")); err != nil {
		t.Fatal(err)
	}
	upload, err := store.Begin(t.Context(), "parts")
	if err == nil {
		err = errors.Join(upload.Part(t.Context(), 1, []byte("x")), upload.Complete(t.Context()))
	}
	if err == nil {
		err = store.Put(t.Context(), "verdict", []byte("x"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"manifest": true, "parts": true, "verdict": false} {
		got, err := store.LockedUntil(t.Context(), key)
		if err != nil || want != (got.Sub(until).Abs() < time.Minute) || !want && !got.IsZero() {
			t.Errorf("%s is locked until %v, error %v", key, got, err)
		}
	}
}

func TestOpen_ObjectLock(t *testing.T) {
	env := map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", backupapi.EnvObjectLock: "compliance:30"}
	store, err := Open("s3://bucket/p", func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if set := store.(*Store).set; set.LockMode != "COMPLIANCE" || set.LockDays != 30 {
		t.Errorf("got %+v", set)
	}
	env[backupapi.EnvS3Checksum] = "none"
	if _, err := Open("s3://bucket/p", func(name string) string { return env[name] }); backup.Category(t.Context(), err) != backupapi.CategoryUsage {
		t.Errorf("a lock without a checksum: %v", err)
	}
}

package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/store/storetest"
	"github.com/nova/novawire/internal/aws/credentials"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestStore(t *testing.T) {
	server := pgtest.SharedS3(t)
	for name, prefix := range map[string]string{"with a prefix": "prod/auth", "without a prefix": ""} {
		t.Run(name, func(t *testing.T) {
			storetest.Conforms(t, func(t *testing.T) backup.Store { return newStore(t, server.Endpoint, server.Bucket(t), prefix) })
		})
	}
}

// Everything a store does must also work when the network is bad.
func TestStore_Faults(t *testing.T) {
	server := pgtest.SharedS3(t)
	all := func(*http.Request) bool { return true }
	faults := map[string]pgtest.Fault{
		"every third request is told to slow down": everyThird(pgtest.Refuse(http.StatusServiceUnavailable, "SlowDown")),
		"every third request breaks":               everyThird(pgtest.Reset(100)),
		"every third request fails inside":         everyThird(pgtest.Refuse(http.StatusInternalServerError, "InternalError")),
		"the first answers come late":              pgtest.Times(3, all, pgtest.Slow(200*time.Millisecond)),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			proxy := pgtest.NewProxy(t, server.Endpoint)
			proxy.Add(fault)
			storetest.Conforms(t, func(t *testing.T) backup.Store { return newStore(t, proxy.Endpoint, server.Bucket(t), "p") })
		})
	}
}

func TestStore_ExpiredCredentials(t *testing.T) {
	server := pgtest.SharedS3(t)
	proxy := pgtest.NewProxy(t, server.Endpoint)
	path := filepath.Join(t.TempDir(), "credentials")
	write := func(key string) {
		if err := os.WriteFile(path, []byte("[default]\naws_access_key_id="+key+"\naws_secret_access_key="+pgtest.SecretKey+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("EXPIRED")
	store := New(Settings{
		Bucket: server.Bucket(t), Region: pgtest.Region, Endpoint: proxy.Endpoint, MaxBackoff: time.Millisecond,
		Credentials: &credentials.File{Path: path, Profile: "default"},
	})
	refuse := pgtest.Refuse(http.StatusBadRequest, "ExpiredToken")
	proxy.Add(pgtest.Times(1, func(*http.Request) bool { return true }, func(w http.ResponseWriter, r *http.Request) bool {
		write(pgtest.AccessKey) // the Secret is refreshed meanwhile
		return refuse(w, r)
	}))
	if err := store.Put(t.Context(), "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
}

func TestStore_CompleteAnswerLost(t *testing.T) {
	server := pgtest.SharedS3(t)
	proxy := pgtest.NewProxy(t, server.Endpoint)
	bucket := server.Bucket(t)
	direct := newStore(t, server.Endpoint, bucket, "")
	store := newStore(t, proxy.Endpoint, bucket, "")
	u, err := store.Begin(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Part(t.Context(), 1, []byte("content")); err != nil {
		t.Fatal(err)
	}
	isComplete := func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }
	reset := pgtest.Reset(0)
	proxy.Add(pgtest.Times(1, isComplete, func(w http.ResponseWriter, r *http.Request) bool {
		mine := u.(*upload) // the request arrives, its answer does not
		other := upload{store: direct, key: mine.key, id: mine.id, parts: mine.parts}
		if err := other.Complete(t.Context()); err != nil {
			t.Error(err)
		}
		return reset(w, r)
	}))
	if err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStore_ErrorCategories(t *testing.T) {
	server := pgtest.SharedS3(t)
	proxy := pgtest.NewProxy(t, server.Endpoint)
	proxy.Add(pgtest.Refuse(http.StatusForbidden, "AccessDenied"))
	refused := newStore(t, proxy.Endpoint, server.Bucket(t), "")
	absent := newStore(t, server.Endpoint, "no-such-bucket", "")
	cases := []struct {
		name  string
		store *Store
		want  backupapi.Category
	}{
		{"access denied", refused, backupapi.CategoryPermission},
		{"no bucket", absent, backupapi.CategoryStore},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, statErr := c.store.Stat(t.Context(), "k")
			for what, err := range map[string]error{"put": c.store.Put(t.Context(), "k", nil), "delete": c.store.Delete(t.Context(), "k"), "list": c.store.List(t.Context(), "", nil)} {
				if got := backup.Category(t.Context(), err); got != c.want {
					t.Errorf("%s: category %q, want %q: %v", what, got, c.want, err)
				}
			}
			if c.want == backupapi.CategoryPermission && backup.Category(t.Context(), statErr) != c.want {
				t.Errorf("stat: %v", statErr)
			}
		})
	}
}

func TestStore_DownloadBreaks(t *testing.T) {
	server := pgtest.SharedS3(t)
	proxy := pgtest.NewProxy(t, server.Endpoint)
	bucket := server.Bucket(t)
	want := bytes.Repeat([]byte("0123456789"), 1<<18)
	if err := newStore(t, server.Endpoint, bucket, "").Put(t.Context(), "big", want); err != nil {
		t.Fatal(err)
	}
	head, err := server.Client().HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: &bucket, Key: aws.String("big")})
	if err != nil {
		t.Fatal(err)
	}
	breaks := 3
	proxy.Add(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || breaks == 0 {
			return false
		}
		breaks--
		var from int
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("ETag", *head.ETag)
		w.Header().Set("Content-Length", fmt.Sprint(len(want)-from))
		_, _ = w.Write(want[from : from+(len(want)-from)/2])
		pgtest.Reset(0)(w, r)
		return true
	})
	r, err := newStore(t, proxy.Endpoint, bucket, "").Open(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes of %d, error %v", len(got), len(want), err)
	}
}

func TestStore_ObjectLock(t *testing.T) {
	server := pgtest.SharedS3(t)
	bucket := server.Bucket(t, func(in *sdk.CreateBucketInput) { in.ObjectLockEnabledForBucket = aws.Bool(true) })
	store := newStore(t, server.Endpoint, bucket, "")
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	_, err := server.Client().PutObject(t.Context(), &sdk.PutObjectInput{
		Bucket: &bucket, Key: aws.String("locked"), Body: bytes.NewReader([]byte("x")),
		ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &until,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.LockedUntil(t.Context(), "locked"); err != nil || !got.Equal(until) {
		t.Errorf("got %v and error %v, want %v", got, err, until)
	}
}

func TestStore_GivesUp(t *testing.T) {
	proxy := pgtest.NewProxy(t, "http://127.0.0.1:1")
	proxy.Add(pgtest.Refuse(http.StatusServiceUnavailable, "SlowDown"))
	err := newStore(t, proxy.Endpoint, "bucket", "").Put(t.Context(), "k", []byte("x"))
	if backup.Category(t.Context(), err) != backupapi.CategoryStore || errors.Is(err, backup.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func newStore(t *testing.T, endpoint, bucket, prefix string) *Store {
	t.Helper()
	env := map[string]string{"AWS_ACCESS_KEY_ID": pgtest.AccessKey, "AWS_SECRET_ACCESS_KEY": pgtest.SecretKey}
	provider, err := credentials.Find(func(name string) string { return env[name] }, credentials.Options{Region: pgtest.Region})
	if err != nil {
		t.Fatal(err)
	}
	return New(Settings{Bucket: bucket, Prefix: prefix, Region: pgtest.Region, Endpoint: endpoint, Credentials: provider, MaxBackoff: 20 * time.Millisecond})
}

// everyThird makes a fault of every third request.
func everyThird(f pgtest.Fault) pgtest.Fault {
	requests := make(chan int, 1)
	requests <- 0
	return func(w http.ResponseWriter, r *http.Request) bool {
		n := <-requests + 1
		requests <- n
		return n%3 == 0 && f(w, r)
	}
}

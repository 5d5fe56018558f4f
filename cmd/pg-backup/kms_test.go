package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

const kmsKey = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d"

// What a bucket policy demands that refuses objects without their key: each
// request that makes an object names it, and none that S3 refuses it in does.
func TestRun_KMS(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, append(append([]string{}, social...), grown("big", 80)...)...)
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	var mu sync.Mutex
	made := map[string]int{}
	proxy.Add(func(w http.ResponseWriter, r *http.Request) bool {
		part := r.URL.Query().Has("partNumber")
		makes := r.Method == http.MethodPut && !part || r.Method == http.MethodPost && r.URL.Query().Has("uploads")
		mu.Lock()
		defer mu.Unlock()
		switch {
		case makes && (r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != kmsKey):
			return pgtest.Refuse(http.StatusForbidden, "AccessDenied")(w, r)
		case !makes && r.Header.Get("X-Amz-Server-Side-Encryption") != "":
			return pgtest.Refuse(http.StatusBadRequest, "InvalidArgument")(w, r)
		case makes:
			made[r.Method]++
		}
		return false
	})
	b = b.with("S3_ENDPOINT", proxy.Endpoint)
	b.fails(backupapi.CategoryPermission, "run", "--databases", source)
	b = b.with("S3_SERVER_SIDE_ENCRYPTION", "aws:kms", "S3_KMS_KEY_ID", kmsKey)
	b.must("run", "--databases", source, "--dry-run")
	b.must("run", "--databases", source)
	b.must("hold", "--database", source)
	b.must("drill")
	if made[http.MethodPut] < 4 || made[http.MethodPost] < 1 {
		t.Errorf("made %v", made)
	}
}

func TestRun_KMS_Denied(t *testing.T) {
	b := newEnvironment(t)
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	proxy.Add(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPut && pgtest.Refuse(http.StatusBadRequest, "KMS.DisabledException")(w, r)
	})
	source := b.pg.Database(t, social...)
	b.with("S3_ENDPOINT", proxy.Endpoint, "S3_SERVER_SIDE_ENCRYPTION", "aws:kms", "S3_KMS_KEY_ID", kmsKey).fails(backupapi.CategoryPermission, "run", "--databases", source)
}

func TestRun_KMS_Usage(t *testing.T) {
	b := newEnvironment(t).with("S3_KMS_KEY_ID", kmsKey)
	for _, encryption := range []string{"", "AES256"} {
		o := b.with("S3_SERVER_SIDE_ENCRYPTION", encryption).fails(backupapi.CategoryUsage, "list")
		if !strings.Contains(o.stderr, "S3_SERVER_SIDE_ENCRYPTION is not aws:kms") {
			t.Errorf("message: %s", o.stderr)
		}
	}
}

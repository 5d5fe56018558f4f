package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/nova/novawire/backup"
)

// put writes an object below the prefix of the environment.
func (b *environment) put(key, content string) {
	b.t.Helper()
	key = "nova/" + key
	if _, err := b.s3.Client().PutObject(b.t.Context(), &sdk.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: strings.NewReader(content)}); err != nil {
		b.t.Fatal(err)
	}
}

// get reads an object below the prefix of the environment.
func (b *environment) get(key string) string {
	b.t.Helper()
	key = "nova/" + key
	out, err := b.s3.Client().GetObject(b.t.Context(), &sdk.GetObjectInput{Bucket: &b.bucket, Key: &key})
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Body.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(out.Body); err != nil {
		b.t.Fatal(err)
	}
	return content.String()
}

// copyTo copies a backup to one of another time, with edited fields of the manifest,
// and returns the id.
func (b *environment) copyTo(database, id string, at time.Time, edits map[string]any) string {
	b.t.Helper()
	copied := backup.NewID(at, uint32(at.UnixNano()))
	var manifest map[string]any
	if err := json.Unmarshal([]byte(b.get(backup.Folder(database, id)+backup.ManifestName)), &manifest); err != nil {
		b.t.Fatal(err)
	}
	manifest["id"] = copied
	for field, value := range edits {
		manifest[field] = value
	}
	for _, key := range b.s3.Keys(b.t, b.bucket) {
		if name := path.Base(key); strings.Contains(key, "/"+id+"/") && name != backup.ManifestName && name != backup.VerificationName {
			b.put(backup.Folder(database, copied)+name, b.get(strings.TrimPrefix(key, "nova/")))
		}
	}
	body, err := json.Marshal(manifest)
	if err != nil {
		b.t.Fatal(err)
	}
	b.put(backup.Folder(database, copied)+backup.ManifestName, string(body))
	return copied
}

// flip changes a byte of the base dump of a backup.
func (b *environment) flip(database, id string) {
	b.t.Helper()
	file := b.s3.Path(b.bucket, "nova/"+backup.Folder(database, id)+"base.00000")
	content, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	content[len(content)/2] ^= 0x10
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// delete removes a backup with all its objects.
func (b *environment) delete(id string) {
	b.t.Helper()
	for _, key := range b.s3.Keys(b.t, b.bucket) {
		if strings.Contains(key, "/"+id+"/") {
			if _, err := b.s3.Client().DeleteObject(b.t.Context(), &sdk.DeleteObjectInput{Bucket: &b.bucket, Key: &key}); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// conditions lists the condition of each backup of a database, the newest first.
func (b *environment) conditions(database string) (all []string) {
	for _, l := range b.backups("--database", database) {
		all = append(all, l.Condition)
	}
	return all
}

// ids returns the ids that are in the bucket, whatever list says of them.
func (b *environment) ids() (all []string) {
	for _, key := range b.s3.Keys(b.t, b.bucket) {
		if _, id, _, ok := backup.SplitKey(strings.TrimPrefix(key, "nova/")); ok && !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

func ago(days int) time.Time { return time.Now().Add(-time.Duration(days) * day) }

// remove deletes an object below the prefix of the environment.
func (b *environment) remove(key string) {
	b.t.Helper()
	key = "nova/" + key
	if _, err := b.s3.Client().DeleteObject(b.t.Context(), &sdk.DeleteObjectInput{Bucket: &b.bucket, Key: &key}); err != nil {
		b.t.Fatal(err)
	}
}

// file returns the content of the file that a variable names.
func (b *environment) file(variable string) string {
	b.t.Helper()
	content, err := os.ReadFile(b.env[variable])
	if err != nil {
		b.t.Fatal(err)
	}
	return string(content)
}

package credentials

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// File is a shared credentials file that may be replaced while it is in use, as
// Kubernetes does with a mounted Secret.
type File struct {
	Path, Profile string

	mu       sync.Mutex
	known    aws.Credentials
	modified time.Time
	size     int64
}

// Invalidate implements [Provider].
func (f *File) Invalidate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.modified = time.Time{}
}

func (f *File) read() (aws.Credentials, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.Path)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("read AWS credentials: %w", err)
	}
	if !f.modified.IsZero() && info.ModTime().Equal(f.modified) && info.Size() == f.size {
		return f.known, nil
	}
	content, err := os.ReadFile(f.Path)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("read AWS credentials: %w", err)
	}
	values := section(string(content), f.Profile)
	c := aws.Credentials{
		AccessKeyID: values["aws_access_key_id"], SecretAccessKey: values["aws_secret_access_key"],
		SessionToken: values["aws_session_token"], Source: "file",
	}
	if !c.HasKeys() {
		return aws.Credentials{}, fmt.Errorf("read AWS credentials: %s has no keys for the profile %s", f.Path, f.Profile)
	}
	f.known, f.modified, f.size = c, info.ModTime(), info.Size()
	return c, nil
}

// section reads one profile of an INI file.
func section(content, profile string) map[string]string {
	values, inside := map[string]string{}, false
	for _, line := range strings.Split(content, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			name = strings.TrimSpace(strings.TrimSuffix(name, "]"))
			inside = name == profile || name == "profile "+profile
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && inside && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return values
}

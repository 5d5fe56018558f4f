package lint

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/clusterdns"
)

// VolumeClaim is a volume claim template of a StatefulSet.
type VolumeClaim struct {
	Name    string
	Storage string // the requested size, a quantity
}

// largeVolume is the size from which several backups a day are worth a warning:
// each backup reads the whole database.
var largeVolume = resource.MustParse("100Gi")

// minimumRetentionDays covers a weekend and the day on which the damage is noticed.
const minimumRetentionDays = 3

// Backup returns a warning for each part of a backup request that is legal but
// unwise.
func Backup(request backupapi.Request, claims []VolumeClaim) (warnings []string) {
	if n := request.Schedule.PerDay(); n > 1 {
		for _, claim := range claims {
			size, err := resource.ParseQuantity(claim.Storage)
			if err == nil && size.Cmp(largeVolume) >= 0 {
				warnings = append(warnings, fmt.Sprintf("%s: %d runs a day each read the whole volume %s of %s",
					backupapi.AnnotationSchedule, n, claim.Name, size.String()))
			}
		}
	}
	if request.RetentionDays < minimumRetentionDays {
		warnings = append(warnings, fmt.Sprintf("%s: damage that is noticed after %d days may be in every backup: use %d or more to cover a weekend; the newest %d backups are always kept",
			backupapi.AnnotationRetentionDays, request.RetentionDays, minimumRetentionDays, request.KeepMinimum))
	}
	if key := strings.ToLower(request.URLSecret.Key); request.URLSecret.Parts() == nil && containsAny(key, "password", "passwd", "passphrase") && !containsAny(key, "url", "uri", "dsn") {
		warnings = append(warnings, fmt.Sprintf("%s: the key %s seems to hold a password alone: it has to hold a URL, postgres://user:password@host:port; without %s the connection is derived from the StatefulSet",
			backupapi.AnnotationURLSecret, request.URLSecret.Key, backupapi.AnnotationURLSecret))
	}
	return append(warnings, encryption(request)...)
}

// BackupEngine returns a warning if the pods of a StatefulSet plainly serve another
// database system. The controller schedules no backup of it.
func BackupEngine(request backupapi.Request, containers []backupapi.Container) []string {
	engine := backupapi.DetectEngine(containers)
	if engine == "" || engine == backupapi.PostgreSQL || request.ClientImage != "" {
		return nil
	}
	return []string{backupapi.AnnotationEnabled + ": " + backupapi.NotPostgreSQL(engine)}
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// encryption returns warnings about who can read the backups.
func encryption(request backupapi.Request) []string {
	encrypted := request.EncryptionRecipients != (backupapi.SecretKey{})
	switch external, plainHTTP := classifyEndpoint(request.S3Endpoint); {
	case encrypted && request.Drill && request.EncryptionIdentity == (backupapi.SecretKey{}):
		return []string{backupapi.AnnotationEncryptionIdentity + ": every drill will fail: drills need the identity to read encrypted backups; set it, or turn drills off with drill-schedule: never"}
	case !encrypted && external && plainHTTP:
		return []string{fmt.Sprintf("%s: PLAIN HTTP to %s: everyone on the network path can read the whole database; use https and set %s",
			backupapi.AnnotationS3Endpoint, request.S3Endpoint, backupapi.AnnotationEncryptionRecipients)}
	case !encrypted && external:
		return []string{fmt.Sprintf("%s: backups leave the cluster unencrypted: the operator of %s can read the database; set %s",
			backupapi.AnnotationS3Endpoint, request.S3Endpoint, backupapi.AnnotationEncryptionRecipients)}
	}
	return nil
}

// classifyEndpoint reports whether an S3 endpoint is outside of the cluster and of
// private networks, as far as its host name shows, and whether it uses plain HTTP.
// AWS over TLS does not count as external: it is the default without an endpoint.
func classifyEndpoint(endpoint string) (external, plainHTTP bool) {
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil {
		return false, false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	plainHTTP = u.Scheme == "http"
	if ip := net.ParseIP(host); ip != nil {
		return !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast(), plainHTTP
	}
	if _, service := clusterdns.ServiceNamespace(host, ""); service || host == "localhost" {
		return false, plainHTTP
	}
	for _, suffix := range []string{".local", ".internal", ".localhost"} {
		if strings.HasSuffix(host, suffix) {
			return false, plainHTTP
		}
	}
	aws := strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
	return plainHTTP || !aws, plainHTTP
}

package webhook

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/clusterdns"
)

// bigVolume is the size from which on reading a whole database more than once
// a day is worth a word.
var bigVolume = resource.MustParse("100Gi")

// fewDays is below a weekend and the day that it takes to notice.
const fewDays = 3

// doubts are warnings about a request that is legal and unwise.
func doubts(asked backupapi.Request, s *statefulSet) (lines []string) {
	if n := asked.Schedule.PerDay(); n > 1 {
		for _, claim := range s.Spec.VolumeClaimTemplates {
			size, err := resource.ParseQuantity(claim.Spec.Resources.Requests.Storage)
			if err == nil && size.Cmp(bigVolume) >= 0 {
				lines = append(lines, fmt.Sprintf("%s: %d runs a day, and each reads the whole of volume %s of %s",
					backupapi.AnnotationSchedule, n, claim.Metadata.Name, size.String()))
			}
		}
	}
	if asked.RetentionDays < fewDays {
		lines = append(lines, fmt.Sprintf("%s: what is noticed after %d days cannot be undone: %d or more outlast a weekend; %d backups are kept in any case",
			backupapi.AnnotationRetentionDays, asked.RetentionDays, fewDays, asked.KeepMinimum))
	}
	encrypted := asked.EncryptionRecipients != (backupapi.SecretKey{})
	switch outside, plain := isOutside(asked.S3Endpoint); {
	case encrypted && asked.Drill && asked.EncryptionIdentity == (backupapi.SecretKey{}):
		lines = append(lines, backupapi.AnnotationEncryptionIdentity+": drills cannot read what is encrypted without it: every drill will fail; drill-schedule: never turns them off")
	case !encrypted && outside && plain:
		lines = append(lines, fmt.Sprintf("%s: PLAIN HTTP to %s: whoever is on the way reads the whole database; use https, and %s",
			backupapi.AnnotationS3Endpoint, asked.S3Endpoint, backupapi.AnnotationEncryptionRecipients))
	case !encrypted && outside:
		lines = append(lines, fmt.Sprintf("%s: %s is outside of the cluster and nothing is encrypted: its operator can read the database; set %s",
			backupapi.AnnotationS3Endpoint, asked.S3Endpoint, backupapi.AnnotationEncryptionRecipients))
	}
	return lines
}

// isOutside tells whether an S3 endpoint is beyond the cluster and private
// networks, as far as its name says, and whether the way to it is plain HTTP. AWS
// over TLS, by whichever name, is what no endpoint means: it is no doubt.
func isOutside(endpoint string) (outside, plain bool) {
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil {
		return false, false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	plain = u.Scheme == "http"
	if ip := net.ParseIP(host); ip != nil {
		return !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast(), plain
	}
	if _, service := clusterdns.ServiceNamespace(host, ""); service || host == "localhost" {
		return false, plain
	}
	for _, suffix := range []string{".local", ".internal", ".localhost"} {
		if strings.HasSuffix(host, suffix) {
			return false, plain
		}
	}
	aws := strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
	return plain || !aws, plain
}

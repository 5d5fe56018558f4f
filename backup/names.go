package backup

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Names of the objects of one backup.
const (
	ManifestName     = "manifest.json"
	VerificationName = "verify.json"
	HoldName         = "hold.json"
)

const idTime = "20060102T150405Z"

// NewID names a backup: the time when its run began, in milliseconds, so that names
// sort by time, and three random digits that tell two runs of one moment apart.
func NewID(at time.Time, random uint32) string {
	at = at.UTC()
	return fmt.Sprintf("%s-%03x%03x", at.Format(idTime), at.Nanosecond()/int(time.Millisecond), random&0xfff)
}

// TimeOfID returns the time in an id, and false if the text is no id.
func TimeOfID(id string) (time.Time, bool) {
	at, random, found := strings.Cut(id, "-")
	t, err := time.Parse(idTime, at)
	return t, err == nil && found && len(random) == 6
}

// Folder returns the prefix of a backup's objects.
func Folder(database, id string) string { return EscapeDatabase(database) + "/" + id + "/" }

// EscapeDatabase turns a database's name into one element of a key. Letters, digits,
// _, - and dots that do not come first stay; every other byte is percent-encoded.
func EscapeDatabase(database string) string {
	var out strings.Builder
	for i := range len(database) {
		c := database[i]
		plain := c == '_' || c == '-' || c == '.' && i > 0 ||
			c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if plain {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}

// SplitKey splits the key of an object of a backup. It returns false for other keys.
func SplitKey(key string) (database, id, name string, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	database, err := url.PathUnescape(parts[0])
	_, isID := TimeOfID(parts[1])
	return database, parts[1], parts[2], err == nil && isID && EscapeDatabase(database) == parts[0]
}

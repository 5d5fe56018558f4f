package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nova/novawire/backup/pgarchive"
)

// SummaryName is the object beside the backups of a database that holds their
// summaries. It saves reading thousands of manifests. It is a cache and no record:
// an entry is used only while the store still shows the manifest and the
// verification that the entry was made from, and without it everything works.
const SummaryName = "summary.json"

// Summary is the part of a manifest that decides about a backup.
type Summary struct {
	Started   time.Time `json:"started"`
	Committed time.Time `json:"committed"`
	Taken     time.Time `json:"taken"`
	Server    string    `json:"server,omitempty"` // the system identifier
	Estimate  int64     `json:"estimate,omitempty"`
	Encrypted bool      `json:"encrypted,omitempty"`
	Bytes     int64     `json:"bytes"`
	Stored    int64     `json:"stored"`
	Rows      int64     `json:"rows"`
	// Anomalies are the first of them; AnomalyCount counts all.
	Anomalies    []string `json:"anomalies,omitempty"`
	AnomalyCount int      `json:"anomalyCount,omitempty"`
	// WithoutData are the first tables without data, ExcludedDatabases the first databases
	// that the run left out; the counts are of all.
	WithoutData       []string `json:"withoutData,omitempty"`
	WithoutDataCount  int      `json:"withoutDataCount,omitempty"`
	ExcludedDatabases []string `json:"excludedDatabases,omitempty"`
	// Evidence is the newest record of evidence when the backup was made.
	Evidence *EvidenceHead `json:"evidence,omitempty"`
	// Missing says which object of the manifest the store did not show, or with
	// another size.
	Missing string `json:"missing,omitempty"`
}

// maxSummaryTexts bounds how many anomalies and names of one kind a summary repeats.
const maxSummaryTexts = 20

// readSummary reads a manifest in a stream and compares the objects that it lists
// with those that the listing showed.
func readSummary(ctx context.Context, store Reader, e Entry) (s Summary, err error) {
	var m Manifest
	withObjects := map[int]bool{} // streams that have objects
	err = scanManifest(ctx, store, e.Database, e.ID, &m, manifestVisitor{
		object: func(o StoredObject) {
			s.Stored += o.Size
			if s.Missing == "" {
				s.Missing = missing(e, o)
			}
			withObjects[len(m.Streams)-1] = true
		},
		table: func(_ string, t pgarchive.Table) { s.Rows += t.Rows },
		text: func(list *[]string, text string) {
			switch list {
			case &m.Anomalies:
				if s.AnomalyCount++; s.AnomalyCount <= maxSummaryTexts {
					s.Anomalies = append(s.Anomalies, text)
				}
			case &m.WithoutData:
				if s.WithoutDataCount++; s.WithoutDataCount <= maxSummaryTexts {
					s.WithoutData = append(s.WithoutData, text)
				}
			case &m.ExcludedDatabases:
				if len(s.ExcludedDatabases) < maxSummaryTexts {
					s.ExcludedDatabases = append(s.ExcludedDatabases, text)
				}
			}
		},
	})
	if err != nil {
		return s, err
	}
	hasDump := false
	for i, stream := range m.Streams {
		hasDump = hasDump || stream.Kind == StreamBase && withObjects[i]
	}
	if !hasDump {
		return s, errNoDump
	}
	s.Started, s.Committed, s.Taken, s.Encrypted = m.Started, m.Committed, m.Facts.Taken, m.Encrypted
	s.Evidence = m.Evidence
	s.Server, s.Estimate, s.Bytes = m.Facts.Server.Identifier, m.Facts.Estimate, m.Bytes()
	return s, nil
}

// missing says how the object in the listing differs from the one in the manifest.
func missing(e Entry, o StoredObject) string {
	listed, there := e.Objects[o.Name]
	switch {
	case !there:
		return o.Name + " is missing"
	case listed.Size != o.Size:
		return fmt.Sprintf("%s has %d bytes instead of %d", o.Name, listed.Size, o.Size)
	}
	return ""
}

// backupSummary is the summary of one backup, with the state of its folder that it
// was made from.
type backupSummary struct {
	Folder              string        `json:"folder"` // see folderState
	Summary             Summary       `json:"summary"`
	Verification        *Verification `json:"verification,omitempty"`
	VerificationProblem string        `json:"verificationProblem,omitempty"`
}

// folderState is a fingerprint of a backup's folder: the name, the size and the
// version of every object but hold.json. It does not depend on their order.
func folderState(e Entry) string {
	var sum uint64
	for name, o := range e.Objects {
		if name != HoldName {
			hash := sha256.Sum256(fmt.Appendf(nil, "%q %d %q", name, o.Size, o.version()))
			sum += binary.BigEndian.Uint64(hash[:])
		}
	}
	return fmt.Sprintf("%d-%016x", len(e.Objects), sum)
}

// summaries are a database's, by the backup's id.
type summaries map[string]backupSummary

const summaryFormat = 1

func summaryKey(database string) string { return EscapeDatabase(database) + "/" + SummaryName }

func splitSummaryKey(key string) (database string, ok bool) {
	escaped, name, found := strings.Cut(key, "/")
	if !found || name != SummaryName {
		return "", false
	}
	database, err := url.PathUnescape(escaped)
	return database, err == nil && EscapeDatabase(database) == escaped
}

// readSummaries returns what can be read: a summary that cannot is made again.
func readSummaries(ctx context.Context, store Reader, database string) summaries {
	format, found := 0, summaries{}
	err := scanJSON(ctx, store, summaryKey(database), maxSummaryBytes, func(d jsonStream) error {
		return d.object(func(key string) error {
			switch key {
			case "format":
				return d.value(&format)
			case "backups":
				return d.object(func(id string) error {
					var s backupSummary
					defer func() { found[id] = s }()
					return d.value(&s)
				})
			}
			return d.skip()
		})
	})
	if err != nil || format != summaryFormat {
		return nil
	}
	return found
}

// WriteSummaries writes the summary of every database whose summary is outdated. It
// leaves out manifests that cannot be used: a newer version may be able to.
func (i Inventory) WriteSummaries(ctx context.Context, store Writer) error {
	for _, database := range i.Databases() {
		if !i.outdated[database] {
			continue
		}
		known := summaries{}
		for _, r := range i.Backups[database] {
			if r.Condition == Unreadable || r.Condition == Empty || r.Condition == Unsigned {
				continue
			}
			known[r.Entry.ID] = backupSummary{Folder: folderState(r.Entry), Summary: r.Summary, Verification: r.Verification.shortened(), VerificationProblem: r.verificationProblem}
		}
		body, err := json.Marshal(map[string]any{"format": summaryFormat, "backups": known})
		if err != nil {
			return fmt.Errorf("encode %s of %s: %w", SummaryName, database, err)
		}
		if err := store.Put(ctx, summaryKey(database), append(body, '\n')); err != nil {
			return fmt.Errorf("write %s of %s: %w", SummaryName, database, err)
		}
	}
	return nil
}

package restore

import (
	"slices"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// postDataPlan says what of the section after the data may be built as soon as one
// stream's tables are loaded, and what must wait for everything. Building the
// indexes of one stream while another still loads keeps every core busy, and
// finds the tables in the server's cache.
type postDataPlan struct {
	byStream map[string][]int // by stream name
	// concurrency is how many of those do not wait for each other: a constraint locks
	// its table, so that the indexes of one table wait for its constraints.
	concurrency map[string]int
	rest        []int
}

// planPostData picks indexes, primary keys and unique constraints of tables alone:
// what depends on nothing else of its section, as foreign keys and attached
// partitions do.
func planPostData(m backup.Manifest, entries []pgarchive.Entry, chosen []int) postDataPlan {
	o := postDataPlan{byStream: map[string][]int{}, concurrency: map[string]int{}, rest: []int{}} // not nil, which would be everything
	streamOf, postData := tablesToStreams(m, entries)
	section := 0
	for _, e := range entries {
		if e.Section != pgarchive.SectionNone { // comments and grants belong where the entry before them does
			section = e.Section
		}
		if section != pgarchive.SectionPostData || chosen != nil && !slices.Contains(chosen, e.ID) {
			continue
		}
		if stream, alone := streamOfIndex(e, streamOf, postData); alone {
			o.byStream[stream] = append(o.byStream[stream], e.ID)
			if e.Kind == "INDEX" || stream == backup.StreamBase {
				o.concurrency[stream]++
			}
		} else {
			o.rest = append(o.rest, e.ID)
		}
	}
	return o
}

func tablesToStreams(m backup.Manifest, entries []pgarchive.Entry) (streamOf map[int]string, postData map[int]bool) {
	apart := map[string]string{}
	for _, s := range m.StreamsOf(backup.StreamData) {
		apart[pgarchive.SQLName(s.Schema, s.Table)] = s.Title()
	}
	streamOf, postData = map[int]string{}, map[int]bool{}
	for _, e := range entries {
		if e.Section == pgarchive.SectionPostData {
			postData[e.ID] = true
		}
		if e.Kind != "TABLE" {
			continue
		}
		if stream, is := apart[e.SQLName()]; is {
			streamOf[e.ID] = stream
		} else {
			streamOf[e.ID] = backup.StreamBase
		}
	}
	return streamOf, postData
}

func streamOfIndex(e pgarchive.Entry, streamOf map[int]string, postData map[int]bool) (stream string, alone bool) {
	if e.Kind != "INDEX" && e.Kind != "CONSTRAINT" {
		return "", false
	}
	for _, id := range e.DependsOn {
		of, isTable := streamOf[id]
		if postData[id] || isTable && stream != "" && of != stream {
			return "", false
		}
		if isTable {
			stream = of
		}
	}
	return stream, stream != ""
}

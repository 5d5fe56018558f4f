package restore

import (
	"slices"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// postDataPlan separates the post-data entries that can be built once one stream's tables
// are loaded from those that wait for all data. Building the indexes of one stream while
// another still loads keeps every core busy and finds the tables in the server's cache.
type postDataPlan struct {
	byStream map[string][]int // by stream name
	// concurrency is how many of those can be built at the same time. A constraint locks
	// its table, so the indexes of a table wait for its constraints.
	concurrency map[string]int
	rest        []int
}

// planPostData plans indexes, primary keys and unique constraints by stream. What depends
// on other post-data entries, such as foreign keys and attached indexes, waits.
func planPostData(m backup.Manifest, entries []pgarchive.Entry, chosen []int) postDataPlan {
	o := postDataPlan{byStream: map[string][]int{}, concurrency: map[string]int{}, rest: []int{}} // not nil, which selects everything
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

package backup

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestNewID_SortsByTime(t *testing.T) {
	if NewID(noon, 0xffff) >= NewID(noon.Add(time.Millisecond), 0) || NewID(noon.Add(999*time.Millisecond), 0xffff) >= NewID(noon.Add(time.Second), 0) {
		t.Error("a later name is not greater")
	}
}

func TestSplitKey(t *testing.T) {
	for _, database := range []string{"nova_auth", "Odd name, 100%/", "..", ".probe", "é", "a/b", "a%2Fb"} {
		id := NewID(noon, 0xabcdef)
		db, gotID, name, ok := SplitKey(Folder(database, id) + ManifestName)
		if !ok || db != database || gotID != id || name != ManifestName {
			t.Errorf("%q: got %q %q %q %v", database, db, gotID, name, ok)
		}
	}
	for _, key := range []string{"", "a", "a/b", "a/b/c", ".probe/20261122T120000Z-000000/x/y", "a/20261122T120000Z/manifest.json", "é/20261122T120000Z-000000/x"} {
		if _, _, _, ok := SplitKey(key); ok {
			t.Errorf("%q counts as a backup's", key)
		}
	}
}

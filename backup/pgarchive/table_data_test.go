package pgarchive

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// empty15 returns an archive without data.
func empty15() []byte {
	var b builder
	b.head(1)
	b.entry(3, false, "SEQUENCE SET", "public", "users_id_seq", "SELECT pg_catalog.setval('public.users_id_seq', 2, true);\n", "")
	return b.Bytes()
}

func TestWithTableData(t *testing.T) {
	users := Entry{Schema: "public", Name: "users", Owner: "owner", CopyStatement: "COPY public.users (id, name) FROM stdin;\n"}

	t.Run("the archive counts like one of pg_dump", func(t *testing.T) {
		archive, err := WithTableData(empty15(), users)
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range []string{"1\tann\n2\t", "bob\n"} {
			header := make([]byte, ChunkHeader)
			PutChunkLength(header, len(chunk))
			archive = append(append(archive, header...), chunk...)
		}
		archive = append(archive, EndOfData...)
		_, got, err := Copy(io.Discard, bytes.NewReader(archive))
		_, want, _ := Copy(io.Discard, bytes.NewReader(whole15()))
		if err != nil || got.Tables["public.users"] != want.Tables["public.users"] || got.Tables["public.users"].Rows != 2 || got.Sequences != want.Sequences {
			t.Errorf("got %+v and error %v, want %+v", got, err, want)
		}
		_, entries, err := Head(bytes.NewReader(archive))
		if err != nil || len(entries) != 2 || entries[1].ID != 4 || entries[1].Owner != "owner" || entries[1].Section != SectionData || !entries[1].HasData {
			t.Errorf("entries %+v and error %v", entries, err)
		}
	})
	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"an archive with data":    {whole15(), ErrFormat},
		"no archive":              {[]byte("-- SQL\n"), ErrFormat},
		"an archive that is cut":  {empty15()[:len(empty15())-3], ErrFormat},
		"an archive of version 9": {append([]byte("PGDMP\x01\x63\x00\x04\x08\x01"), empty15()[11:]...), ErrVersion},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if _, err := WithTableData(c.archive, users); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

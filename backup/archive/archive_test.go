package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// builder writes what pg_dump 15 would: the tests against pg_dump itself are in
// backup/postgres.
type builder struct{ bytes.Buffer }

func (b *builder) int(v int) {
	sign := byte(0)
	if v < 0 {
		sign, v = 1, -v
	}
	b.Write([]byte{sign, byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
}

func (b *builder) texts(values ...string) {
	for _, v := range values {
		b.int(len(v))
		b.WriteString(v)
	}
}

func (b *builder) head(entries int) {
	b.WriteString("PGDMP\x01\x0e\x00\x04\x08\x01")
	for range 8 {
		b.int(0)
	}
	b.texts("nova_auth", "15.18", "15.18")
	b.int(entries)
}

func (b *builder) entry(id int, data bool, kind, schema, name, definition, copyStatement string) {
	b.int(id)
	b.int(map[bool]int{true: 1}[data])
	b.texts("1259", "16384", name, kind)
	b.int(SectionData)
	b.texts(definition, "", copyStatement, schema, "", "heap", "owner", "false")
	b.texts("7")
	b.int(-1)
	b.Write(make([]byte, 9))
}

func whole15() []byte {
	var b builder
	b.head(4)
	b.entry(1, true, "TABLE DATA", "public", "users", "", "COPY public.users (id, name) FROM stdin;\n")
	b.entry(2, true, "BLOBS", "", "BLOBS", "", "")
	b.entry(3, false, "SEQUENCE SET", "public", "users_id_seq", "SELECT pg_catalog.setval('public.users_id_seq', 2, true);\n", "")
	b.entry(4, false, "INDEX", "public", "users_name", "CREATE INDEX", "")
	b.WriteByte(blockData)
	b.int(1)
	b.texts("1\tann\n", "2\tbob\n", "\\.\n\n\n")
	b.int(0)
	b.WriteByte(blockBlob)
	b.int(2)
	b.int(4711)
	b.texts("a large ", "object")
	b.int(0)
	b.int(0)
	return b.Bytes()
}

func TestCopyPassesEveryByteAndCounts(t *testing.T) {
	var out bytes.Buffer
	n, tally, err := Copy(&out, iotest.OneByteReader(bytes.NewReader(whole15())))
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(len(whole15())) || !bytes.Equal(out.Bytes(), whole15()) {
		t.Error("bytes changed on their way")
	}
	if tally.Tables["public.users"].Rows != 2 || tally.LargeObjects.Rows != 1 || tally.Sequences.Rows != 1 {
		t.Errorf("counted %+v", tally)
	}
	if diff := cmp.Diff(map[string]int{"TABLE DATA": 1, "BLOBS": 1, "SEQUENCE SET": 1, "INDEX": 1}, tally.Objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestEveryTruncationIsSeen(t *testing.T) {
	archive := whole15()
	for n := range len(archive) {
		if _, _, err := Copy(io.Discard, bytes.NewReader(archive[:n])); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d of %d bytes: got %v, want ErrFormat", n, len(archive), err)
		}
	}
}

func TestAnErrorOfTheSourceIsNotAnEnd(t *testing.T) {
	died := errors.New("pg_dump died")
	for n := range len(whole15()) + 1 {
		src := io.MultiReader(bytes.NewReader(whole15()[:n]), iotest.ErrReader(died))
		if _, _, err := Copy(io.Discard, src); !errors.Is(err, died) {
			t.Fatalf("after %d bytes: got %v, want the source's error", n, err)
		}
	}
}

func TestANewerArchivePassesUncounted(t *testing.T) {
	archive := whole15()
	archive[6] = 99
	var out bytes.Buffer
	_, tally, err := Copy(&out, bytes.NewReader(archive))
	if err != nil || tally.Unknown == "" || !bytes.Equal(out.Bytes(), archive) {
		t.Errorf("got error %v, tally %+v", err, tally)
	}
}

func TestHeadIsTheArchiveUpToItsData(t *testing.T) {
	head, entries, err := Head(bytes.NewReader(whole15()))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 || entries[0].SQLName() != "public.users" || !cmp.Equal(entries[0].DependsOn, []int{7}) {
		t.Errorf("entries: %+v", entries)
	}
	if !bytes.HasPrefix(whole15(), head) || whole15()[len(head)] != blockData {
		t.Errorf("head of %d bytes does not end where the data begins", len(head))
	}
}

func FuzzCopy(f *testing.F) {
	f.Add(whole15())
	f.Add([]byte("PGDMP"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		var out bytes.Buffer
		n, _, err := Copy(&out, bytes.NewReader(archive))
		if err == nil && (n != int64(len(archive)) || !bytes.Equal(out.Bytes(), archive)) {
			t.Error("accepted, but bytes changed on their way")
		}
	})
}

package pgarchive

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

func TestCopy(t *testing.T) {
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

func TestCopy_Truncated(t *testing.T) {
	archive := whole15()
	for n := range len(archive) {
		if _, _, err := Copy(io.Discard, bytes.NewReader(archive[:n])); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d of %d bytes: got %v, want ErrFormat", n, len(archive), err)
		}
	}
}

func TestCopy_SourceFails(t *testing.T) {
	died := errors.New("pg_dump died")
	for n := range len(whole15()) + 1 {
		src := io.MultiReader(bytes.NewReader(whole15()[:n]), iotest.ErrReader(died))
		if _, _, err := Copy(io.Discard, src); !errors.Is(err, died) {
			t.Fatalf("after %d bytes: got %v, want the source's error", n, err)
		}
	}
}

func TestCopy_NewerVersion(t *testing.T) {
	archive := whole15()
	archive[6] = 99
	var out bytes.Buffer
	_, tally, err := Copy(&out, bytes.NewReader(archive))
	if err != nil || tally.Unknown == "" || !bytes.Equal(out.Bytes(), archive) {
		t.Errorf("got error %v, tally %+v", err, tally)
	}
}

func TestHead(t *testing.T) {
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

// whole15Without is the archive without the rows of its table.
func whole15Without() []byte {
	archive := whole15()
	from := bytes.Index(archive, []byte("1\tann\n")) - 5 - 6
	to := bytes.Index(archive, []byte("\\.\n\n\n")) + len(endOfRows) + 5
	return append(bytes.Clone(archive[:from]), archive[to:]...)
}

func TestDemultiplex(t *testing.T) {
	for _, size := range []int{MinRead, MinRead + 1, 1 << 10} {
		var rest, rows bytes.Buffer
		take := func(e Entry) func(io.Reader) error {
			if e.SQLName() != "public.users" {
				t.Errorf("asked for %s", e.SQLName())
			}
			return func(from io.Reader) error {
				_, err := io.CopyBuffer(struct{ io.Writer }{&rows}, struct{ io.Reader }{from}, make([]byte, size))
				return err
			}
		}
		if err := Demultiplex(&rest, iotest.OneByteReader(bytes.NewReader(whole15())), take); err != nil {
			t.Fatal(err)
		}
		if rows.String() != "1\tann\n2\tbob\n" {
			t.Errorf("by %d bytes: rows %q", size, rows.String())
		}
		if !bytes.Equal(rest.Bytes(), whole15Without()) {
			t.Errorf("the rest is not the archive without its rows:\n%q\n%q", rest.Bytes(), whole15Without())
		}
	}
}

func TestDemultiplex_UnreadRows(t *testing.T) {
	var rest bytes.Buffer
	err := Demultiplex(&rest, bytes.NewReader(whole15()), func(Entry) func(io.Reader) error { return func(io.Reader) error { return nil } })
	if err != nil || !bytes.Equal(rest.Bytes(), whole15Without()) {
		t.Errorf("error %v, rest %q", err, rest.Bytes())
	}
}

func leave(Entry) func(io.Reader) error { return nil }

func TestDemultiplex_Failures(t *testing.T) {
	archive, died := whole15(), errors.New("S3 died")
	read := func(Entry) func(io.Reader) error {
		return func(rows io.Reader) error { _, err := io.Copy(io.Discard, rows); return err }
	}
	for _, take := range []func(Entry) func(io.Reader) error{leave, read} {
		for n := range len(archive) {
			if err := Demultiplex(io.Discard, bytes.NewReader(archive[:n]), take); !errors.Is(err, ErrFormat) {
				t.Fatalf("cut to %d of %d bytes: got %v, want ErrFormat", n, len(archive), err)
			}
			src := io.MultiReader(bytes.NewReader(archive[:n]), iotest.ErrReader(died))
			if err := Demultiplex(io.Discard, src, take); !errors.Is(err, died) {
				t.Fatalf("after %d bytes: got %v, want the source's error", n, err)
			}
		}
	}
}

func FuzzDemultiplex(f *testing.F) {
	f.Add(whole15())
	f.Fuzz(func(t *testing.T, archive []byte) {
		var rest bytes.Buffer
		if err := Demultiplex(&rest, bytes.NewReader(archive), leave); err != nil {
			return
		}
		_, want, wantErr := Copy(io.Discard, bytes.NewReader(archive))
		_, got, err := Copy(io.Discard, &rest)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
			t.Errorf("nothing was taken, but the rest is read as another archive, errors %v and %v (-want +got):\n%s", wantErr, err, diff)
		}
	})
}

package pgarchive

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func tableOf(t *testing.T, columns []string, text string, chunk int) Table {
	t.Helper()
	r := newRows(columns)
	for len(text) > 0 {
		n := min(chunk, len(text))
		if _, err := r.Write([]byte(text[:n])); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	return r.table
}

const sample = "1\tsome longer text than eight\t\\N\n2\tx\t\\\\t\n3\t\tlast field is long enough\n\\.\n\n\n"

func TestRows_EndMark(t *testing.T) {
	if got := tableOf(t, []string{"a", "b", "c"}, sample, 1<<20); got.Rows != 3 {
		t.Errorf("got %d rows, want 3", got.Rows)
	}
}

func TestSum_Chunks(t *testing.T) {
	want := tableOf(t, []string{"a", "b", "c"}, sample, 1<<20)
	for chunk := 1; chunk < 20; chunk++ {
		if got := tableOf(t, []string{"a", "b", "c"}, sample, chunk); got != want {
			t.Errorf("in chunks of %d: got %+v, want %+v", chunk, got, want)
		}
	}
}

func TestSum_Order(t *testing.T) {
	ab := []string{"a", "b"}
	base := tableOf(t, ab, "1\tone\n2\ttwo\n", 99)
	same := map[string]Table{
		"rows in another order":    tableOf(t, ab, "2\ttwo\n1\tone\n", 99),
		"columns in another order": tableOf(t, []string{"b", "a"}, "one\t1\ntwo\t2\n", 99),
	}
	for name, got := range same {
		if got != base {
			t.Errorf("%s: got %+v, want %+v", name, got, base)
		}
	}
	differ := map[string]Table{
		"a row is missing":                  tableOf(t, ab, "1\tone\n", 99),
		"a row came twice":                  tableOf(t, ab, "1\tone\n1\tone\n2\ttwo\n", 99),
		"values changed rows":               tableOf(t, ab, "1\ttwo\n2\tone\n", 99),
		"values changed columns":            tableOf(t, []string{"b", "a"}, "1\tone\n2\ttwo\n", 99),
		"a column has another name":         tableOf(t, []string{"a", "c"}, "1\tone\n2\ttwo\n", 99),
		"one bit differs":                   tableOf(t, ab, "1\tone\n2\ttwn\n", 99),
		"an empty string instead of a null": tableOf(t, ab, "1\tone\n2\t\n", 99),
		"a zero byte more":                  tableOf(t, ab, "1\tone\x00\n2\ttwo\n", 99),
	}
	for name, got := range differ {
		if got.Sum == base.Sum {
			t.Errorf("%s: the sum is the same", name)
		}
	}
}

func TestCopyColumns(t *testing.T) {
	cases := map[string][]string{
		"COPY public.t (id, name) FROM stdin;\n":                 {"id", "name"},
		`COPY "Sch(ema"."T" (id, "a, b", "q""uote") FROM stdin;`: {"id", "a, b", `q"uote`},
		"COPY public.no_columns  FROM stdin;\n":                  nil,
		"COPY public.one (only) FROM stdin;":                     {"only"},
		`COPY public.p ("close)", x) FROM stdin;`:                {"close)", "x"},
		strings.Repeat("x", 10):                                  nil,
	}
	for statement, want := range cases {
		if diff := cmp.Diff(want, copyColumns(statement)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", statement, diff)
		}
	}
}

func TestQuote(t *testing.T) {
	cases := map[[2]string]string{
		{"public", "users"}:     "public.users",
		{"Sch.ema", `Ta"ble`}:   `"Sch.ema"."Ta""ble"`,
		{"", "1st"}:             `"1st"`,
		{"public", "café"}:      `public."café"`,
		{"public", "two words"}: `public."two words"`,
	}
	for in, want := range cases {
		if got := SQLName(in[0], in[1]); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
}

func BenchmarkRows(b *testing.B) {
	row := []byte("1234567\t2026-11-22 01:02:03.456789+00\t{\"kind\": \"post\", \"title\": \"a title of some length\", \"likes\": 42}\tt\t\\N\n")
	r := newRows([]string{"a", "b", "c", "d", "e"})
	b.SetBytes(int64(len(row)))
	for b.Loop() {
		_, _ = r.Write(row)
	}
}

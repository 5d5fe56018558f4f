package attribute

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormat_RoundTrip(t *testing.T) {
	for _, attributes := range [][]KeyValue{
		nil,
		{{"team", "identity"}},
		{{"a,b", "c=d;e"}, {"percent", "100%"}, {"quote", `"\`}, {"space", " x "}, {"empty", ""}, {"ключ", "значение"}},
	} {
		got, mistakes := Parse(Format(attributes))
		if diff := cmp.Diff(attributes, got); diff != "" || len(mistakes) > 0 {
			t.Errorf("mistakes %v, -want +got:\n%s", mistakes, diff)
		}
	}
}

func TestParse_KeepsGoodPairs(t *testing.T) {
	got, mistakes := Parse("a=1,bad,b=50%,=x,,c=%2C")
	want := []KeyValue{{"a", "1"}, {"b", "50%"}, {"c", ","}}
	if diff := cmp.Diff(want, got); diff != "" || len(mistakes) != 2 {
		t.Errorf("mistakes %v, -want +got:\n%s", mistakes, diff)
	}
}

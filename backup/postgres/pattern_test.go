package postgres

import "testing"

// The translations are those of psql (PostgreSQL, src/fe_utils/string_utils.c).
func TestPatternRegex(t *testing.T) {
	for pattern, want := range map[string]string{
		"Orders":     "^(orders)$",
		`"Orders"`:   "^(Orders)$",
		"log_*":      "^(log_.*)$",
		"log_?":      "^(log_.)$",
		"a|b":        "^(a|b)$",
		`"a|b"`:      `^(a\|b)$`,
		`"a""b*"`:    `^(a"b\*)$`,
		"int4[]":     `^(int4\[])$`,
		"t[0-9]+":    "^(t[0-9]+)$",
		"pg$x":       `^(pg\$x)$`,
		`Ta"Ble"s.x`: "^(taBles.x)$",
	} {
		if got := patternRegex(pattern); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
}

package backup

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cron is a schedule of five fields, as CronJob accepts it. The minute and the hour may
// be H: a value that is derived from the workload's name, so that workloads start at
// different times, each always at the same. H(0-29) limits the range. The notation is
// that of Jenkins.
type Cron struct {
	fields [5]string
	values [5]map[int]bool // an H stands for one value
}

type cronField struct {
	name     string
	min, max int
	names    []string // of the values from min on, in lower case
	allowsH  bool     // accepts H
}

var cronFields = [5]cronField{
	{name: "minute", max: 59, allowsH: true},
	{name: "hour", max: 23, allowsH: true},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", max: 6, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// ParseCron parses a schedule by the rules of CronJob, which are those of
// github.com/robfig/cron/v3: lists, ranges, steps, names, * and ?. A schedule that never
// fires is an error.
func ParseCron(expression string) (Cron, error) {
	var c Cron
	fields := strings.Fields(expression)
	if len(fields) != len(cronFields) {
		return Cron{}, fmt.Errorf("%d fields instead of 5", len(fields))
	}
	for i, rule := range cronFields {
		var err error
		if c.values[i], err = rule.values(fields[i]); err != nil {
			return Cron{}, fmt.Errorf("%s %q: %w", rule.name, fields[i], err)
		}
		c.fields[i] = fields[i]
	}
	if !c.eitherDay() && !hasDay(c.values[2], c.values[3]) {
		return Cron{}, fmt.Errorf("no month of %q has a day of %q", fields[3], fields[2])
	}
	return c, nil
}

// eitherDay reports whether a day that matches one of the two day fields is enough.
func (c Cron) eitherDay() bool { return !matchesAny(c.fields[2]) && !matchesAny(c.fields[4]) }

// Matches reports whether a schedule without H starts in the minute of a time, in its zone.
func (c Cron) Matches(t time.Time) bool {
	return c.RunsOn(t) && c.values[0][t.Minute()] && c.values[1][t.Hour()]
}

// HasH reports whether the minute or the hour is an H.
func (c Cron) HasH() bool { return strings.ContainsRune(c.fields[0]+c.fields[1], 'H') }

// matchesAny reports whether cron treats a day field as unrestricted: an element of
// its list is * or ?, without a step or with a step of one.
func matchesAny(field string) bool {
	for _, part := range strings.Split(field, ",") {
		span, every, stepped := strings.Cut(part, "/")
		step, err := digits(every)
		if (span == "*" || span == "?") && (!stepped || err == nil && step == 1) {
			return true
		}
	}
	return false
}

// hasDay reports whether one of the months has one of the days in a leap year.
func hasDay(days, months map[int]bool) bool {
	for month := range months {
		for day := range days {
			if day <= time.Date(2024, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
				return true
			}
		}
	}
	return false
}

// PerDay returns the number of starts on a day on which the schedule runs.
func (c Cron) PerDay() int { return len(c.values[0]) * len(c.values[1]) }

// RunsOn reports whether the schedule starts on a day. Of two restricted day fields one is
// enough, as in every cron.
func (c Cron) RunsOn(day time.Time) bool {
	date, weekday := c.values[2][day.Day()], c.values[4][int(day.Weekday())]
	onDay := date && weekday
	if c.eitherDay() {
		onDay = date || weekday
	}
	return onDay && c.values[3][int(day.Month())]
}

// Schedule returns the expression with each H replaced by a value derived from the seed.
func (c Cron) Schedule(seed uint64) string {
	resolved := c.fields
	for i, rule := range cronFields {
		if low, high, ok := rule.hashRange(resolved[i]); ok {
			span := uint64(high - low + 1)
			resolved[i] = strconv.Itoa(low + int(seed%span)) //nolint:gosec // below 60
			seed /= span
		}
	}
	return strings.Join(resolved[:], " ")
}

// hashRange returns the range of an H.
func (f cronField) hashRange(field string) (low, high int, ok bool) {
	if !f.allowsH {
		return 0, 0, false
	}
	if field == "H" {
		return f.min, f.max, true
	}
	inner, begins := strings.CutPrefix(field, "H(")
	inner, ends := strings.CutSuffix(inner, ")")
	from, to, two := strings.Cut(inner, "-")
	if !begins || !ends || !two {
		return 0, 0, false
	}
	low, errLow := f.value(from)
	high, errHigh := f.value(to)
	return low, high, errLow == nil && errHigh == nil && low <= high
}

// values returns the values of a field. An H stands for one value.
func (f cronField) values(field string) (map[int]bool, error) {
	seen := map[int]bool{}
	if low, _, ok := f.hashRange(field); ok {
		seen[low] = true
		return seen, nil
	}
	for _, part := range strings.Split(field, ",") {
		if err := f.add(part, seen); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// add adds the values of one list element: *, a value or a range, with or without a step.
func (f cronField) add(part string, seen map[int]bool) error {
	span, every, stepped := strings.Cut(part, "/")
	low, high, err := f.span(span, stepped)
	if err != nil {
		return err
	}
	step := 1
	if stepped {
		if step, err = digits(every); err != nil || step == 0 {
			return fmt.Errorf("%q is not a step", every)
		}
	}
	for v := low; ; v += step {
		seen[v] = true
		if step > high-v { // v+step may overflow
			return nil
		}
	}
}

func (f cronField) span(span string, stepped bool) (low, high int, err error) {
	if span == "*" || span == "?" {
		return f.min, f.max, nil
	}
	from, to, two := strings.Cut(span, "-")
	if low, err = f.value(from); err != nil {
		return 0, 0, err
	}
	switch {
	case two:
		high, err = f.value(to)
	case stepped: // 5/15 starts at 5 and has no end
		high = f.max
	default:
		high = low
	}
	if err == nil && low > high {
		err = fmt.Errorf("%s is after %s", from, to)
	}
	return low, high, err
}

func (f cronField) value(s string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(s, name) {
			return f.min + i, nil
		}
	}
	v, err := digits(s)
	if err != nil || v < f.min || v > f.max {
		return 0, fmt.Errorf("%q is not within %d to %d", s, f.min, f.max)
	}
	return v, nil
}

// digits parses a number without a sign, which strconv.Atoi would accept.
func digits(s string) (int, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return strconv.Atoi(s)
}

package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// cell returns a text from the cluster for a terminal. Whoever may create a pod chooses names and
// annotations: what a terminal could obey, or what would be another cell or line, is quoted.
func cell(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	return strconv.Quote(text)
}

// line returns the cells of a line of a table.
func line(cells []string) string {
	for i := range cells {
		cells[i] = cell(cells[i])
	}
	return strings.Join(cells, "\t")
}

package main

import (
	"strings"

	"github.com/nova/novawire/webhook/preview"
)

// cell returns a text from the cluster for a terminal.
func cell(text string) string { return preview.Cell(text) }

// line returns the cells of a line of a table.
func line(cells []string) string {
	for i := range cells {
		cells[i] = cell(cells[i])
	}
	return strings.Join(cells, "\t")
}

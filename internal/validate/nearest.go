// Package validate holds the rules that several contracts share: how a refused
// setting is reported, which known name a misspelt one is closest to, quantities,
// regions and the truncation of text. It uses the standard library alone.
package validate

import (
	"fmt"
	"strings"
)

// Nearest returns the candidate with the smallest edit distance to name, the
// first one where several are equal, and "" when every candidate is more than three
// edits away: beyond that it is another word, not a misspelling.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", 4
	for _, candidate := range candidates {
		if d := editDistance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// UnknownWord returns the error about a word that should be one of the allowed ones. It
// names the nearest one, or all of them.
func UnknownWord(word, what string, allowed []string) error {
	if nearest := Nearest(word, allowed); nearest != "" {
		return fmt.Errorf("%q is not a %s; did you mean %s?", word, what, nearest)
	}
	return fmt.Errorf("%q is not a %s; use one of %s", word, what, strings.Join(allowed, ", "))
}

// editDistance is the Levenshtein distance, computed one row at a time.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

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
// edits away, or more than a third of the name: that is another word, not a misspelling.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", min(3, max(1, len(name)/3))+1
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

// editDistance counts the bytes to insert, delete or replace, and the pairs of neighbours
// to swap, that make b of a.
func editDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

package smoke

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a line for each result and a summary.
func WriteTable(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tTARGET\tCHECK\tSTATUS\tMESSAGE")
	count := map[Status]int{}
	for _, r := range results {
		count[r.Status]++
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Namespace, r.Target, r.Check, r.Status, strings.ReplaceAll(r.Message, "\n", " "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", count[Passed], count[Failed], count[Skipped])
	return err
}

// WriteJSON prints the results as a JSON array.
func WriteJSON(w io.Writer, results []Result) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(results)
}

type suite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Cases    []testCase `xml:"testcase"`
}

type testCase struct {
	ClassName string   `xml:"classname,attr"`
	Name      string   `xml:"name,attr"`
	Time      string   `xml:"time,attr"`
	Failure   *message `xml:"failure"`
	Skipped   *message `xml:"skipped"`
}

type message struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit prints the results as a JUnit test suite.
func WriteJUnit(w io.Writer, results []Result) error {
	s := suite{Name: "novawire smoke", Tests: len(results)}
	for _, r := range results {
		c := testCase{ClassName: r.Namespace + "." + r.Target, Name: r.Check, Time: fmt.Sprintf("%.3f", r.Seconds)}
		switch r.Status {
		case Failed:
			s.Failures++
			c.Failure = &message{r.Message}
		case Skipped:
			s.Skipped++
			c.Skipped = &message{r.Message}
		case Passed:
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

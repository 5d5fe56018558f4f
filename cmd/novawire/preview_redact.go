package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/api/redaction"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/preview"
)

// redactSample prints what the rules of redaction change in a sample: those of the objects,
// or those of the configuration's defaults if there are no objects.
func redactSample(path string, c inject.Config, objects []preview.Object, stdin io.Reader, stdout io.Writer) error {
	sample, err := readSample(path, stdin)
	if err != nil {
		return err
	}
	groups := rulesOf(objects)
	if len(objects) == 0 && c.Defaults[injection.AnnotationRedact] != "" {
		groups = []rulesGroup{{rules: c.Defaults[injection.AnnotationRedact], hasKey: c.Sidecar.HasRedactKey(), where: []string{"the configuration's defaults"}}}
	}
	groups = slices.DeleteFunc(groups, func(g rulesGroup) bool { // comments alone are no rule
		rules, _ := redaction.Parse(g.rules)
		return rules.Empty()
	})
	if len(groups) == 0 {
		return errors.New("preview: no rule of redaction: name manifests with the annotation " + injection.AnnotationRedact + ", or a --config with it in its defaults")
	}
	for _, g := range groups {
		if err := writeRedaction(stdout, g, preview.Redact(g.rules, g.hasKey, sample)); err != nil {
			return err
		}
	}
	return nil
}

func readSample(path string, stdin io.Reader) (sample []byte, err error) {
	if path == "-" {
		sample, err = io.ReadAll(stdin)
	} else {
		sample, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	return sample, nil
}

// rulesGroup are objects with the same rules.
type rulesGroup struct {
	rules  string
	hasKey bool // of hashes; where hashes mask instead, a note of the object says so
	where  []string
}

// rulesOf returns the rules that the sidecars of the objects get.
func rulesOf(objects []preview.Object) (groups []rulesGroup) {
	for _, o := range objects {
		for _, line := range o.Result.Explanation {
			if line.Container != sidecarapi.ContainerName || line.Subject != sidecarapi.EnvRedact {
				continue
			}
			hasKey := !slices.ContainsFunc(o.Result.Notes, func(n inject.Note) bool {
				return n.Reason == inject.BadRedaction && strings.HasSuffix(n.Detail, sidecarapi.EnvRedactKey)
			})
			i := slices.IndexFunc(groups, func(g rulesGroup) bool { return g.rules == line.Value && g.hasKey == hasKey })
			if i < 0 {
				i, groups = len(groups), append(groups, rulesGroup{rules: line.Value, hasKey: hasKey})
			}
			groups[i].where = append(groups[i].where, o.Where)
		}
	}
	return groups
}

func writeRedaction(w io.Writer, g rulesGroup, r preview.Redaction) error {
	var text strings.Builder
	for _, where := range g.where {
		fmt.Fprintf(&text, "# %s\n", where)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(&text, "%s: %s\n- %s\n", c.Where, strings.Join(c.Rules, ", "), c.Before)
		if !c.Dropped {
			fmt.Fprintf(&text, "+ %s\n", c.After)
		}
	}
	fmt.Fprintf(&text, "# %d of %d texts change", len(r.Changes), r.Looked)
	separator := ":"
	for _, rule := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&text, "%s %s %d", separator, rule, r.Counts[rule])
		separator = ","
	}
	text.WriteString("\n")
	_, err := io.WriteString(w, text.String())
	return err
}

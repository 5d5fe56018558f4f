package sidecar

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// PrintConfig writes the configuration that the variables result in, without secrets,
// and a warning on errors for each variable that is ignored.
func PrintConfig(lookup func(name string) (string, bool), out, errors io.Writer) error {
	settings, refusals := sidecarapi.ParseSettings(lookup)
	for _, r := range refusals {
		fmt.Fprintln(errors, "warning:", r.Error())
	}
	encoder := yaml.NewEncoder(out)
	encoder.SetIndent(2)
	if err := encoder.Encode(newConfig(settings, len(refusals), readMemory(lookup, cgroup), fips(lookup))); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

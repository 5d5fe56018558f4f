package sidecar

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// PrintConfig writes the configuration that the variables result in, with what
// is secret taken out, and tells mistakes on errors.
func PrintConfig(lookup func(name string) (string, bool), out, errors io.Writer) error {
	settings, mistakes := sidecarapi.ParseSettings(lookup)
	for _, m := range mistakes {
		fmt.Fprintln(errors, "warning:", m.Error())
	}
	for i := range settings.Headers {
		settings.Headers[i].Value = "[redacted]"
	}
	encoder := yaml.NewEncoder(out)
	encoder.SetIndent(2)
	if err := encoder.Encode(configuration(settings, len(mistakes), readMemory(lookup, cgroup))); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

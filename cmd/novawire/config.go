package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/webhook/inject"
)

// config is the manager's configuration file, a section for each part.
type config struct {
	Injection inject.Config    `json:"injection"`
	Backup    resources.Config `json:"backup"`
}

// defaultConfig is what an empty file means.
func defaultConfig() config {
	return config{Injection: inject.DefaultConfig(), Backup: resources.DefaultConfig()}
}

// readConfig reads the file, or gives the defaults where there is no name. Every
// unknown or repeated key and every bad value is told with its path.
func readConfig(file string) (config, error) {
	c := defaultConfig()
	if file == "" {
		return c, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return config{}, fmt.Errorf("read config: %w", err)
	}
	if err := c.parse(text); err != nil {
		return config{}, fmt.Errorf("read config %s: %w", file, err)
	}
	return c, nil
}

func (c *config) parse(text []byte) error {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")), " "))
	}
	unknown, err := kjson.UnmarshalStrict(raw, c)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return oneLine(err)
	}
	for _, section := range []struct {
		name  string
		wrong error
	}{{"injection", c.Injection.Validate()}, {"backup", c.Backup.Validate()}} {
		if section.wrong != nil {
			return oneLine(fmt.Errorf("%s: %w", section.name, section.wrong))
		}
	}
	return nil
}

func oneLine(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

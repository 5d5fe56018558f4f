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

// The version of the configuration file.
const (
	configAPIVersion = "config.nova.dev/v1alpha1"
	configKind       = "ManagerConfiguration"
)

// config is the manager's configuration file, with a section for each part.
type config struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Injection  inject.Config    `json:"injection"`
	Backup     resources.Config `json:"backup"`
}

// defaultConfig returns the configuration of an empty file.
func defaultConfig() config {
	c := config{Injection: inject.DefaultConfig(), Backup: resources.DefaultConfig()}
	c.useImages(os.Getenv(imageVariable))
	return c
}

// readConfig reads the file, or returns the defaults if there is no file name. Every
// unknown or repeated key and every bad value is an error with its path.
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

// unversioned reports whether the file has no apiVersion and kind. Files of releases
// before v0.2 have none; they are read with a warning.
func (c *config) unversioned() bool { return c.APIVersion == "" && c.Kind == "" }

// versionWarning is the warning about an unversioned file.
const versionWarning = "the configuration file has no version: add apiVersion: " + configAPIVersion + " and kind: " + configKind

// parse reads the file's content over the values of c and validates the result.
func (c *config) parse(text []byte) error {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")), " "))
	}
	unknown, err := kjson.UnmarshalStrict(raw, c)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return oneLine(err)
	}
	if err := c.checkVersion(); err != nil {
		return err
	}
	if err := c.Injection.Validate(); err != nil {
		return oneLine(fmt.Errorf("injection: %w", err))
	}
	if err := c.Backup.Validate(); err != nil {
		return oneLine(fmt.Errorf("backup: %w", err))
	}
	return nil
}

func (c *config) checkVersion() error {
	switch {
	case c.unversioned():
		return nil
	case c.APIVersion != configAPIVersion:
		return fmt.Errorf("apiVersion: %q is not supported: use %s", c.APIVersion, configAPIVersion)
	case c.Kind != configKind:
		return fmt.Errorf("kind: %q is not supported: use %s", c.Kind, configKind)
	}
	return nil
}

func oneLine(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

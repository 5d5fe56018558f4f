// Package config reads the manager's configuration file. The manager runs by it, and
// the command line previews with it.
package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/version"
	"github.com/nova/novawire/webhook/inject"
)

// The version of the configuration file.
const (
	apiVersion = "config.nova.dev/v1alpha1"
	kind       = "ManagerConfiguration"
)

// Manager is the manager's configuration file, with a section for each part.
type Manager struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Injection  inject.Config    `json:"injection"`
	Backup     resources.Config `json:"backup"`
	Repair     repair.Config    `json:"repair"`
}

// Default returns the configuration of an empty file. managerImage is the reference of
// the manager's image, "" if it is unknown: see [EnvImage].
func Default(managerImage string) Manager {
	c := Manager{Injection: inject.DefaultConfig(), Backup: resources.DefaultConfig(), Repair: repair.Default()}
	c.Injection.Version = version.Version
	c.useImages(managerImage)
	return c
}

// Read reads the file, or returns the defaults if there is no file name. Every
// unknown or repeated key and every bad value is an error with its path.
func Read(file, managerImage string) (Manager, error) {
	c := Default(managerImage)
	if file == "" {
		return c, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Manager{}, fmt.Errorf("read config: %w", err)
	}
	if err := c.Parse(text); err != nil {
		return Manager{}, fmt.Errorf("read config %s: %w", file, err)
	}
	return c, nil
}

// Unversioned reports whether the file has no apiVersion and kind. Files of releases
// before v0.2 have none; they are read with a warning.
func (c *Manager) Unversioned() bool { return c.APIVersion == "" && c.Kind == "" }

// VersionWarning is the warning about an unversioned file.
const VersionWarning = "the configuration file has no version: add apiVersion: " + apiVersion + " and kind: " + kind

// Parse reads the file's content over the values of c and validates the result.
func (c *Manager) Parse(text []byte) error {
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
	if err := c.Repair.Validate(); err != nil {
		return oneLine(fmt.Errorf("repair: %w", err))
	}
	return nil
}

func (c *Manager) checkVersion() error {
	switch {
	case c.Unversioned():
		return nil
	case c.APIVersion != apiVersion:
		return fmt.Errorf("apiVersion: %q is not supported: use %s", c.APIVersion, apiVersion)
	case c.Kind != kind:
		return fmt.Errorf("kind: %q is not supported: use %s", c.Kind, kind)
	}
	return nil
}

func oneLine(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// Package repair is the contract of repair: its section of the configuration, the modes that
// Namespaces and workloads choose, and the status that a workload carries.
package repair

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nova/novawire/api/injection"
)

// Mode is how the pods of a workload are replaced.
type Mode string

// The modes.
const (
	None    Mode = "none"    // they are not
	Evict   Mode = "evict"   // one by one, by the Eviction API
	Restart Mode = "restart" // by a roll-out of the workload
)

// Modes lists the modes.
func Modes() []Mode { return []Mode{None, Evict, Restart} }

// Config is the section of the configuration.
type Config struct {
	Mode Mode `json:"mode,omitempty"`
	// PerMinute is how many pods are evicted and workloads restarted in a minute, in the whole
	// cluster.
	PerMinute int `json:"perMinute,omitempty"`
	// ReadyWithin is the time in which one more pod has to become ready. A workload that takes
	// longer is not repaired any more, and its pods start without wiring.
	ReadyWithin Duration `json:"readyWithin,omitempty"`
	// States are the states of pods that are replaced: missing, stale.
	States []injection.PodState `json:"states,omitempty"`
	// Windows are the times in which a repair may start; none for any time.
	Windows []Window `json:"windows,omitempty"`
	// AllowedOverrides are the modes that Namespaces and workloads may choose; nil for all.
	AllowedOverrides []Mode `json:"allowedOverrides,omitzero"`
	// Namespaces are the modes of single namespaces, by name.
	Namespaces map[string]Mode `json:"namespaces,omitempty"`
}

// Default returns the configuration of an empty section: nothing is repaired.
func Default() Config {
	return Config{
		Mode: None, PerMinute: 6, ReadyWithin: Duration(5 * time.Minute),
		States: []injection.PodState{injection.PodMissing, injection.PodStale},
	}
}

// Asked reports whether the configuration asks for repair, of any namespace. An annotation may
// ask too.
func (c Config) Asked() bool {
	for _, mode := range c.Namespaces {
		if mode != None {
			return true
		}
	}
	return c.Mode != None
}

// Validate returns an error for the first value that is not allowed, with its path.
func (c Config) Validate() error {
	if err := c.Mode.check("mode"); err != nil {
		return err
	}
	if c.PerMinute < 1 || c.PerMinute > 600 {
		return fmt.Errorf("perMinute: %d: use 1 to 600", c.PerMinute)
	}
	if d := time.Duration(c.ReadyWithin); d < 10*time.Second || d > time.Hour {
		return fmt.Errorf("readyWithin: %s: use 10s to 1h", d)
	}
	for i, state := range c.States {
		if state != injection.PodMissing && state != injection.PodStale {
			return fmt.Errorf("states[%d]: %q: use %s or %s", i, state, injection.PodMissing, injection.PodStale)
		}
	}
	for i, w := range c.Windows {
		if err := w.validate(); err != nil {
			return fmt.Errorf("windows[%d].%w", i, err)
		}
	}
	for i, mode := range c.AllowedOverrides {
		if err := mode.check(fmt.Sprintf("allowedOverrides[%d]", i)); err != nil {
			return err
		}
	}
	for name, mode := range c.Namespaces {
		if err := mode.check("namespaces." + name); err != nil {
			return err
		}
	}
	return nil
}

func (m Mode) check(path string) error {
	if slices.Contains(Modes(), m) {
		return nil
	}
	return fmt.Errorf("%s: %q: use %s", path, string(m), list(Modes()))
}

// ModeOf returns the mode of a workload: what its annotation says, else that of its Namespace,
// else the configuration. A value that is not allowed is an error, and the mode is [None]:
// whoever wrote it did not ask for what the configuration says.
func (c Config) ModeOf(namespace string, ofNamespace, ofWorkload map[string]string) (Mode, error) {
	for _, layer := range []struct {
		source      string
		annotations map[string]string
	}{{"workload", ofWorkload}, {"namespace", ofNamespace}} {
		value, ok := layer.annotations[injection.AnnotationRepair]
		if !ok {
			continue
		}
		allowed := c.AllowedOverrides
		if allowed == nil {
			allowed = Modes()
		}
		if mode := Mode(value); slices.Contains(allowed, mode) || mode == None {
			return mode, nil
		}
		return None, fmt.Errorf("%s %q on the %s is not allowed: use %s", injection.AnnotationRepair, short(value), layer.source, list(allowed))
	}
	if mode, ok := c.Namespaces[namespace]; ok {
		return mode, nil
	}
	return c.Mode, nil
}

func list(modes []Mode) string {
	names := make([]string, 0, len(modes)+1)
	for _, mode := range modes {
		names = append(names, string(mode))
	}
	if !slices.Contains(modes, None) {
		names = append(names, string(None)) // anybody may switch it off
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// short bounds a value that a message quotes.
func short(value string) string {
	if r := []rune(value); len(r) > 32 {
		return string(r[:32]) + "…"
	}
	return value
}

// Duration is a time.Duration that is written as text, such as 5m.
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 5m", short(string(text)))
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

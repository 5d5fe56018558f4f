// Package podfiles keeps a directory that says which log files Fluent Bit is to
// tail: a link for each container of a wired pod, and a description of each such
// pod for the output plugin.
//
//	DIR/containers/POD_NAMESPACE_CONTAINER-ID.log   link to the runtime's log file
//	DIR/pods/NAMESPACE_POD.json                     description of the pod
//
// The directory outlives the program and outages of the API server: a decision
// about a pod stands until there is another one or the log file is gone.
package podfiles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Pod describes a pod to the output plugin.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Service is the name of the pod's service; Services holds the names of
	// containers that report under another one.
	Service  string            `json:"service,omitempty"`
	Services map[string]string `json:"services,omitempty"`
	// Undecided means that the API server has not said whether the pod is wired.
	Undecided bool `json:"undecided,omitempty"`
	// NotWired means that the pod is not wired; the description keeps the decision
	// for times when the API server does not answer.
	NotWired bool `json:"notWired,omitempty"`
}

// ServiceOf returns the service that a container reports under.
func (p Pod) ServiceOf(container string) string {
	if name := p.Services[container]; name != "" {
		return name
	}
	return p.Service
}

// Decision says what to do with the log files of a pod.
type Decision int

// The decisions.
const (
	Unknown  Decision = iota // it is not known yet whether the pod is wired
	Wired                    // tail its files
	NotWired                 // do not tail them
)

// Directory is the directory on a node. Only one goroutine may use it.
type Directory struct {
	Path string
	// Logs is the kubelet's directory of links, /var/log/containers.
	Logs string
	// HoldFor is how long the files of an unknown pod are held back, counted
	// from when they were first seen. After that they are tailed as undecided:
	// lines that reach the wrong log group are better than lost ones.
	HoldFor time.Duration
	// KeepFor is how long the description of a deleted pod is kept for chunks
	// that wait for delivery.
	KeepFor time.Duration

	firstSeen map[string]time.Time // by file name, of held files
}

// Counts says how many log files are in each state after an update.
type Counts struct{ Wired, Undecided, Held, NotWired int }

const (
	linksFolder = "containers"
	podsFolder  = "pods"
)

// Open creates what is missing of the directory.
func (d *Directory) Open() error {
	d.firstSeen = map[string]time.Time{}
	for _, folder := range []string{linksFolder, podsFolder} {
		if err := os.MkdirAll(filepath.Join(d.Path, folder), 0o755); err != nil { //nolint:gosec // Fluent Bit may run as another user
			return fmt.Errorf("create directory of pod files: %w", err)
		}
	}
	return nil
}

// Update makes the links agree with the log files that exist and with what
// decide says of their pods. A pod that decide describes without a name is not
// remembered. Update continues after an error with one file and returns all errors.
func (d *Directory) Update(now time.Time, decide func(namespace, pod string) (Pod, Decision)) (Counts, error) {
	entries, err := os.ReadDir(d.Logs)
	if err != nil {
		return Counts{}, fmt.Errorf("list log files: %w", err)
	}
	links, err := d.links()
	if err != nil {
		return Counts{}, err
	}
	u := update{Directory: d, now: now, decide: decide, links: links, pods: map[string]bool{}, seen: map[string]time.Time{}}
	for _, entry := range entries {
		u.file(entry.Name())
	}
	d.firstSeen = u.seen
	for name := range links { // the log file is gone
		u.check(os.Remove(filepath.Join(d.Path, linksFolder, name)))
	}
	u.check(u.removeDescriptions())
	return u.counts, errors.Join(u.errs...)
}

func (d *Directory) links() (map[string]bool, error) {
	entries, err := os.ReadDir(filepath.Join(d.Path, linksFolder))
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := map[string]bool{}
	for _, entry := range entries {
		links[entry.Name()] = true
	}
	return links, nil
}

// update is one run of Update.
type update struct {
	*Directory
	now    time.Time
	decide func(namespace, pod string) (Pod, Decision)
	links  map[string]bool // those whose log file was not seen in this run
	pods   map[string]bool // descriptions that are in use
	seen   map[string]time.Time
	counts Counts
	errs   []error
}

func (u *update) check(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.errs = append(u.errs, err)
	}
}

// file decides about one log file of the runtime.
func (u *update) file(name string) {
	pod, namespace, _, ok := ParseName(name)
	if !ok {
		return
	}
	linked := u.links[name]
	delete(u.links, name)
	p, decision := u.decide(namespace, pod)
	switch decision {
	case Wired:
		u.counts.Wired++
		u.link(name, p, linked)
	case NotWired:
		u.counts.NotWired++
		if linked {
			u.check(os.Remove(filepath.Join(u.Path, linksFolder, name)))
		}
		if p.Name != "" {
			u.describeOnce(Pod{Namespace: namespace, Name: pod, NotWired: true})
		}
	default:
		u.unknown(name, namespace, pod, linked)
	}
}

// unknown lets the last decision about a pod stand, or holds its files.
func (u *update) unknown(name, namespace, pod string, linked bool) {
	p, described := Describe(u.Path, namespace, pod)
	u.pods[descriptionName(namespace, pod)] = described
	switch {
	case described && p.NotWired && !linked:
		u.counts.NotWired++
	case linked && p.Undecided:
		u.counts.Undecided++
	case described && !p.Undecided:
		u.counts.Wired++
		u.makeLink(name, linked)
	default:
		u.hold(name, namespace, pod)
	}
}

// hold keeps a file of an unknown pod back for a while, then links it.
func (u *update) hold(name, namespace, pod string) {
	first, ok := u.firstSeen[name]
	if !ok {
		first = u.now
	}
	if u.now.Sub(first) < u.HoldFor {
		u.seen[name] = first
		u.counts.Held++
		return
	}
	u.counts.Undecided++
	u.link(name, Pod{Namespace: namespace, Name: pod, Undecided: true}, false)
}

// link describes the pod first: whoever reads the file finds the description.
func (u *update) link(name string, p Pod, linked bool) {
	if u.describeOnce(p) {
		u.makeLink(name, linked)
	}
}

// describeOnce describes a pod unless this run has done so for another container.
func (u *update) describeOnce(p Pod) bool {
	name := descriptionName(p.Namespace, p.Name)
	if u.pods[name] {
		return true
	}
	if err := u.describe(name, p); err != nil {
		u.check(err)
		return false
	}
	u.pods[name] = true
	return true
}

func (u *update) makeLink(name string, linked bool) {
	if linked {
		return
	}
	target, err := os.Readlink(filepath.Join(u.Logs, name))
	if err != nil {
		target = filepath.Join(u.Logs, name) // the runtime writes the file itself
	}
	u.check(os.Symlink(target, filepath.Join(u.Path, linksFolder, name)))
}

// describe writes a description if it differs from the one on disk.
func (u *update) describe(name string, p Pod) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("describe pod: %w", err)
	}
	path := filepath.Join(u.Path, podsFolder, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.WriteFile(path+".part", text, 0o644); err != nil { //nolint:gosec // Fluent Bit may run as another user
		return fmt.Errorf("describe pod: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("describe pod: %w", err)
	}
	return nil
}

// removeDescriptions removes those whose pod has had no log file for KeepFor.
// The modification time of a description in use is kept recent.
func (u *update) removeDescriptions() error {
	folder := filepath.Join(u.Path, podsFolder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("list descriptions: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		info, err := entry.Info()
		if err != nil {
			continue
		}
		age := u.now.Sub(info.ModTime())
		switch {
		case u.pods[entry.Name()] && age > u.KeepFor/4:
			u.check(os.Chtimes(path, u.now, u.now))
		case !u.pods[entry.Name()] && age > u.KeepFor:
			u.check(os.Remove(path))
		}
	}
	return nil
}

// Describe reads the description of a pod from a directory. It reports false
// if there is none.
func Describe(dir, namespace, pod string) (Pod, bool) {
	text, err := os.ReadFile(filepath.Join(dir, podsFolder, descriptionName(namespace, pod)))
	if err != nil {
		return Pod{}, false
	}
	var p Pod
	if err := json.Unmarshal(text, &p); err != nil || p.Namespace != namespace || p.Name != pod {
		return Pod{}, false
	}
	return p, true
}

func descriptionName(namespace, pod string) string { return namespace + "_" + pod + ".json" }

// ParseName splits the name of a log file, POD_NAMESPACE_CONTAINER-ID.log. Names
// of Kubernetes objects contain no "_" and no "/".
func ParseName(file string) (pod, namespace, container string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(file, ".log"), "_")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || strings.ContainsAny(file, "/\x00") {
		return "", "", "", false
	}
	if dash := strings.LastIndexByte(parts[2], '-'); dash > 0 {
		container = parts[2][:dash]
	}
	return parts[0], parts[1], container, true
}

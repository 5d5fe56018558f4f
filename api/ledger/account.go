package ledger

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// The accounts of all pods are kept in a few ConfigMaps of the manager's namespace. A pod
// belongs to one of them by its UID. Each holds totals and the UIDs that are in them, so that
// one write changes both: no pod is counted twice or not at all. Shards must stay as it is:
// with another number, pods that are counted would belong to another ConfigMap and be
// counted again.
const (
	Shards     = 4
	namePrefix = "novawire-telemetry-"
	// Key is the key of the binary data of the ConfigMaps: JSON, compressed with gzip.
	Key = "account.json.gz"
)

// ShardName returns the name of a ConfigMap.
func ShardName(shard int) string { return namePrefix + strconv.Itoa(shard) }

// ShardOf returns the number of the ConfigMap that a pod belongs to.
func ShardOf(uid string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid)) // it cannot fail
	return int(h.Sum32() % Shards)
}

// Account is the content of one ConfigMap.
type Account struct {
	// Totals are those of pods that are gone, by namespace and service.
	Totals map[string]map[string]Total `json:"totals,omitempty"`
	// Pods are those that exist, by UID.
	Pods map[string]*Pod `json:"pods,omitempty"`
	// Counted are pods that are in Totals, by UID, with the Unix time at which they were
	// added. A late report of them changes nothing.
	Counted map[string]int64 `json:"counted,omitempty"`
}

// Total is the account of the pods of a service that are gone.
type Total struct {
	Signals map[string]Entry `json:"signals"`
	Pods    int              `json:"pods"`
	Unknown int              `json:"unknown,omitempty"` // runs whose final ledger nobody has seen
}

// Other is the service that has what is beyond maxServices, and the namespace that has what is
// beyond maxNamespaces.
const (
	Other         = "other"
	maxServices   = 500 // of a namespace
	maxNamespaces = 1000
)

// remembered is how long a counted pod is remembered. No replica of the manager reports a
// pod later than a third of it after its end.
const remembered = 30 * time.Minute

// Forget is how long a replica that does not lead keeps what it saw of pods that are gone.
const Forget = remembered / 3

// Pod returns the account of a pod, which it opens if necessary; nil if the pod is counted.
func (a *Account) Pod(uid, namespace, service string) *Pod {
	if _, counted := a.Counted[uid]; counted {
		return nil
	}
	p := a.Pods[uid]
	if p == nil {
		p = &Pod{Namespace: namespace, Service: Name(service)}
		if a.Pods == nil {
			a.Pods = map[string]*Pod{}
		}
		a.Pods[uid] = p
	}
	return p
}

// Close adds the account of a pod that is gone to the totals of its service.
func (a *Account) Close(uid string, now time.Time) {
	p := a.Pods[uid]
	if p == nil {
		return
	}
	p.Close()
	if a.Totals == nil {
		a.Totals = map[string]map[string]Total{}
	}
	namespace, services := bounded(a.Totals, p.Namespace, maxNamespaces)
	if services == nil {
		services = map[string]Total{}
		a.Totals[namespace] = services
	}
	service, t := bounded(services, p.Service, maxServices)
	services[service] = t.plus(Total{Signals: p.Total(), Pods: 1, Unknown: p.Unknown})
	delete(a.Pods, uid)
	if a.Counted == nil {
		a.Counted = map[string]int64{}
	}
	a.Counted[uid] = now.Unix()
	maps.DeleteFunc(a.Counted, func(_ string, at int64) bool { return now.Sub(time.Unix(at, 0)) > remembered })
}

// bounded returns the value of a key, or that of Other if there are too many keys.
func bounded[V any](all map[string]V, key string, limit int) (string, V) {
	if _, known := all[key]; !known && len(all) >= limit {
		key = Other
	}
	return key, all[key]
}

// Keep remembers a counted pod that exists still, and reports whether the account has changed.
func (a *Account) Keep(uid string, now time.Time) bool {
	if now.Sub(time.Unix(a.Counted[uid], 0)) < remembered/2 {
		return false
	}
	a.Counted[uid] = now.Unix()
	return true
}

// Encode returns the account as the ConfigMap has it.
func (a *Account) Encode() ([]byte, error) {
	data, _, err := a.encode()
	return data, err
}

func (a *Account) encode() (data []byte, size int, err error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, 0, fmt.Errorf("encode account: %w", err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, 0, fmt.Errorf("encode account: %w", err)
	}
	return out.Bytes(), len(text), nil
}

// maxStored bounds the data of a ConfigMap, of which the API server takes 1 MiB, and maxText
// what it is without compression: far less than Decode takes.
const (
	maxStored = 700_000
	maxText   = 8 << 20
)

// Fit is Encode for an account that may be too large for a ConfigMap. It folds what is
// largest until it fits, so that a write never fails for its size, and reports that.
func (a *Account) Fit(now time.Time) (data []byte, folded bool, err error) {
	return a.fit(now, maxStored, maxText)
}

func (a *Account) fit(now time.Time, stored, text int) (data []byte, folded bool, err error) {
	for {
		data, size, err := a.encode()
		if err != nil || len(data) <= stored && size <= text || !a.fold(now) {
			return data, folded, err
		}
		folded = true
	}
}

// fold makes the largest namespaces smaller: who fills the account loses detail, nobody else.
// First the services with the fewest pods become Other, then the largest pods are counted
// before their end, then the namespace becomes Other.
func (a *Account) fold(now time.Time) (progress bool) {
	sizes, pods, most := map[string]int{}, map[string][]string{}, 0
	add := func(namespace string, v any) int {
		text, _ := json.Marshal(v) // encode has done it
		sizes[namespace] += len(text)
		return len(text)
	}
	for namespace, services := range a.Totals {
		add(namespace, services)
	}
	size := map[string]int{} // of pods
	for uid, p := range a.Pods {
		size[uid] = add(p.Namespace, p)
		pods[p.Namespace] = append(pods[p.Namespace], uid)
	}
	nothing := func(namespace string, _ int) bool {
		services := a.Totals[namespace]
		_, other := services[Other]
		return namespace == Other && other && len(services) == 1 && len(pods[namespace]) == 0
	}
	maps.DeleteFunc(sizes, nothing)
	for _, n := range sizes {
		most = max(most, n)
	}
	for namespace, n := range sizes {
		if n <= most/2 {
			continue
		}
		progress = true
		services := a.Totals[namespace]
		names := slices.DeleteFunc(slices.Collect(maps.Keys(services)), func(name string) bool { return name == Other })
		switch uids := pods[namespace]; {
		case len(names) > 0:
			slices.SortFunc(names, func(x, y string) int {
				return cmp.Or(cmp.Compare(services[x].Pods, services[y].Pods), cmp.Compare(x, y))
			})
			for _, name := range names[:(len(names)+1)/2] {
				services[Other] = services[Other].plus(services[name])
				delete(services, name)
			}
		case len(uids) > 0:
			slices.SortFunc(uids, func(x, y string) int { return cmp.Or(size[y]-size[x], cmp.Compare(x, y)) })
			for _, uid := range uids[:(len(uids)+1)/2] {
				a.Close(uid, now)
			}
		default:
			if a.Totals[Other] == nil {
				a.Totals[Other] = map[string]Total{}
			}
			a.Totals[Other][Other] = a.Totals[Other][Other].plus(services[Other])
			delete(a.Totals, namespace)
		}
	}
	return progress
}

// plus returns the sum of two totals.
func (t Total) plus(o Total) Total {
	return Total{Signals: plusSignals(t.Signals, o.Signals), Pods: t.Pods + o.Pods, Unknown: t.Unknown + o.Unknown}
}

func plusSignals(a, b map[string]Entry) map[string]Entry {
	sum := make(map[string]Entry, len(a))
	maps.Copy(sum, a)
	for signal, e := range b {
		sum[signal] = sum[signal].Plus(e)
	}
	return sum
}

// maxDecoded bounds what a ConfigMap, which has at most 1 MiB, may become.
const maxDecoded = 64 << 20

// Decode reads what Encode wrote. No data is an empty account.
func Decode(data []byte) (*Account, error) {
	a := &Account{}
	if len(data) == 0 {
		return a, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	if err := json.NewDecoder(io.LimitReader(r, maxDecoded)).Decode(a); err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	return a, nil
}

package ledger

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"reflect"
	"strconv"
	"time"
)

// The accounts of all pods are kept in a few ConfigMaps of the manager's namespace. A pod
// belongs to one of them by its UID. Each holds totals and the UIDs that are in them, so that
// one write changes both: no pod is counted twice or not at all.
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
		p = &Pod{Namespace: namespace, Service: service}
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
	t.add(p)
	services[service] = t
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

func (t *Total) add(p *Pod) {
	signals := maps.Clone(t.Signals)
	if signals == nil {
		signals = map[string]Entry{}
	}
	for signal, e := range p.Total() {
		signals[signal] = signals[signal].Plus(e)
	}
	t.Signals = signals
	t.Pods++
	t.Unknown += p.Unknown
}

// Encode returns the account as the ConfigMap has it.
func (a *Account) Encode() ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if err := json.NewEncoder(w).Encode(a); err != nil {
		return nil, fmt.Errorf("encode account: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode account: %w", err)
	}
	return out.Bytes(), nil
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

func sameEntries(a, b map[string]Entry) bool { return reflect.DeepEqual(a, b) }

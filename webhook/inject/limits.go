package inject

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nova/novawire/internal/validate"
)

// Limits are what a namespace allows its pods: its LimitRanges and ResourceQuotas, as far
// as they concern CPU, memory and ephemeral storage. The zero value allows everything.
type Limits struct {
	container, pod [resources]bounds
	quotas         []quota
}

// The resources that are compared: CPU in thousandths of a core, the others in bytes. The
// sidecar asks for no storage, but gets the default of a LimitRange.
const (
	cpu = iota
	memory
	storage
	resources

	sized = storage // CPU and memory are those of the sidecar
)

var resourceNames = [resources]string{"cpu", "memory", "ephemeral-storage"}

// podsName is the subject of a quota that counts the pod only because of the sidecar.
const podsName = "pods"

// bounds are the strictest ones of all LimitRanges for one resource; 0 stands for none.
type bounds struct {
	min, max                int64
	ratio                   int64 // of the limit to the request, in thousandths
	standard, standardAsked int64 // limit and request of a container without any
}

func (b bounds) isSet() bool { return b != bounds{} }

// defaults returns what a container without any gets, as the API server completes a
// LimitRange (SetDefaults_LimitRangeItem): one of a file is not completed.
func (b bounds) defaults() (s size) {
	s.limit = cmp.Or(b.standard, b.max)
	s.request = cmp.Or(b.standardAsked, s.limit, b.min)
	return s
}

// admits reports whether a request and a limit, 0 for none, are within the bounds.
func (b bounds) admits(request, limit int64) bool {
	return (b.min == 0 || request >= b.min && (limit == 0 || limit >= b.min)) &&
		(b.max == 0 || limit > 0 && max(request, limit) <= b.max) &&
		(b.ratio == 0 || request > 0 && limit > 0 && float64(limit)/float64(request)*1000 <= float64(b.ratio))
}

// quota is a ResourceQuota: what is left of it, or unlimited.
type quota struct {
	name             string
	requests, limits [resources]int64
	pods             int64 // that are not BestEffort, if it counts only these
	scopes           []scope
}

func newQuota() quota {
	q := quota{pods: unlimited}
	for i := range resources {
		q.requests[i], q.limits[i] = unlimited, unlimited
	}
	return q
}

const unlimited = math.MaxInt64

// scope selects the pods that count (k8s.io/api/core/v1, ScopedResourceSelectorRequirement).
type scope struct {
	Name     string   `json:"scopeName"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// amountsByName are quantities as they are written: as numbers or strings.
type amountsByName map[string]jsontext.Value

// get returns an amount, and whether there is a readable one.
func (a amountsByName) get(resource int, name string) (int64, bool) {
	return parseAmount(resource, a[name])
}

// ParseLimits returns the limits of a namespace with the given objects: LimitRanges and
// ResourceQuotas as JSON, by "KIND/NAME". It returns nil if they limit nothing. Objects
// that cannot be read limit nothing and are reported.
func ParseLimits(objects map[string][]byte) (*Limits, error) {
	var l Limits
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		add := l.addLimitRange
		if strings.HasPrefix(name, "ResourceQuota/") {
			add = l.addResourceQuota
		}
		if err := add(objects[name]); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", name, err))
		}
	}
	if l.empty() {
		return nil, errors.Join(mistakes...)
	}
	return &l, errors.Join(mistakes...)
}

func (l *Limits) addLimitRange(raw []byte) error {
	var object struct {
		Spec struct {
			Limits []struct {
				Type           string        `json:"type"`
				Min            amountsByName `json:"min"`
				Max            amountsByName `json:"max"`
				Default        amountsByName `json:"default"`
				DefaultRequest amountsByName `json:"defaultRequest"`
				Ratio          amountsByName `json:"maxLimitRequestRatio"`
			} `json:"limits"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &object, lenient); err != nil {
		return err
	}
	for _, item := range object.Spec.Limits {
		of := &l.container
		switch item.Type {
		case "Container":
		case "Pod":
			of = &l.pod
		default: // of volumes
			continue
		}
		for i, name := range resourceNames {
			b := &of[i]
			smallest(&b.max, i, item.Max, name)
			smallest(&b.ratio, cpu, item.Ratio, name) // a ratio has thousandths, as CPU
			smallest(&b.standard, i, item.Default, name)
			smallest(&b.standardAsked, i, item.DefaultRequest, name)
			if least, ok := item.Min.get(i, name); ok {
				b.min = max(b.min, least)
			}
		}
	}
	return nil
}

// smallest sets a bound to the amount, if there is one and it is stricter. A bound of
// nothing becomes 1, because 0 stands for none.
func smallest(bound *int64, resource int, amounts amountsByName, name string) {
	amount, ok := amounts.get(resource, name)
	if amount = max(amount, 1); ok && (*bound == 0 || amount < *bound) {
		*bound = amount
	}
}

// addResourceQuota adds what is left of a ResourceQuota. Without a status, as in a file,
// nothing is used.
func (l *Limits) addResourceQuota(raw []byte) error {
	var object struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Hard          amountsByName `json:"hard"`
			Scopes        []string      `json:"scopes"`
			ScopeSelector struct {
				Expressions []scope `json:"matchExpressions"`
			} `json:"scopeSelector"`
		} `json:"spec"`
		Status struct {
			Hard amountsByName `json:"hard"`
			Used amountsByName `json:"used"`
		} `json:"status"`
	}
	if err := json.Unmarshal(raw, &object, lenient); err != nil {
		return err
	}
	hard := object.Status.Hard
	if len(hard) == 0 {
		hard = object.Spec.Hard
	}
	q := newQuota()
	q.name, q.scopes = object.Metadata.Name, object.Spec.ScopeSelector.Expressions
	for _, name := range object.Spec.Scopes {
		q.scopes = append(q.scopes, scope{Name: name, Operator: "Exists"})
	}
	restricts := false
	left := func(resource int, names ...string) int64 {
		room := int64(unlimited)
		for _, name := range names {
			if most, ok := hard.get(resource, name); ok {
				used, _ := object.Status.Used.get(resource, name)
				room, restricts = min(room, most-used), true
			}
		}
		return room
	}
	for i, name := range resourceNames {
		q.requests[i], q.limits[i] = left(i, name, "requests."+name), left(i, "limits."+name)
	}
	if slices.ContainsFunc(q.scopes, func(s scope) bool { return s.Name == "NotBestEffort" }) {
		q.pods = left(memory, podsName, "count/pods")
	}
	if restricts {
		l.quotas = append(l.quotas, q)
	}
	return nil
}

func (l *Limits) empty() bool {
	return l.container == [resources]bounds{} && l.pod == [resources]bounds{} && len(l.quotas) == 0
}

// counts reports whether a pod with a sidecar counts for the quota
// (k8s.io/kubernetes, pkg/quota/v1/evaluator/core).
func (q *quota) counts(s *spec) bool {
	return !slices.ContainsFunc(q.scopes, func(c scope) bool { return !c.selects(s) })
}

func (c scope) selects(s *spec) bool {
	switch c.Name {
	case "Terminating":
		return isSet(s.ActiveDeadlineSeconds)
	case "NotTerminating":
		return !isSet(s.ActiveDeadlineSeconds)
	case "BestEffort":
		return false // the sidecar has requests
	case "PriorityClass":
		switch c.Operator {
		case "In":
			return slices.Contains(c.Values, s.PriorityClassName)
		case "NotIn":
			return !slices.Contains(c.Values, s.PriorityClassName)
		case "DoesNotExist":
			return s.PriorityClassName == ""
		}
		return s.PriorityClassName != ""
	}
	return true // NotBestEffort; and rather no sidecar than a pod that is refused
}

// parseAmount returns an amount, rounded up, and whether it is a quantity.
func parseAmount(resource int, value jsontext.Value) (int64, bool) {
	if !isSet(value) {
		return 0, false
	}
	return amountOf(resource, strings.Trim(string(value), `"`))
}

func amountOf(resource int, text string) (int64, bool) {
	amount, err := validate.ParseQuantity(text)
	if err != nil {
		return 0, false
	}
	if resource == cpu {
		amount.Mul(amount, big.NewRat(1000, 1))
	}
	up := new(big.Int).Add(amount.Num(), new(big.Int).Sub(amount.Denom(), big.NewInt(1)))
	if up.Quo(up, amount.Denom()); !up.IsInt64() {
		return unlimited / 2, true // two of them can be added
	}
	return min(up.Int64(), unlimited/2), true
}

// formatAmount returns an amount as a quantity.
func formatAmount(resource int, amount int64) string {
	switch {
	case resource == cpu:
		return itoa(int(amount)) + "m"
	case amount%(1<<20) == 0:
		return itoa(int(amount>>20)) + "Mi"
	case amount%(1<<10) == 0:
		return itoa(int(amount>>10)) + "Ki"
	}
	return itoa(int(amount))
}

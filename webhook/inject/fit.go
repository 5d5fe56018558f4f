package inject

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// size is the request and the limit of one resource.
type size struct {
	request, limit       int64
	hasRequest, hasLimit bool
}

// total is what a pod's containers sum up to for one resource, without the sidecar.
// Init containers run one after the other, and beside the native sidecars before them.
type total struct {
	before int64 // the most that runs before the sidecar starts
	beside int64 // the most that runs beside the sidecar
}

// with returns the total of a pod with a sidecar.
func (t total) with(sidecar int64) int64 { return max(t.before, t.beside+sidecar) }

// fitSidecar changes the sidecar's resources so that the LimitRanges of the namespace
// admit the pod. It returns a note and true if no resources do with which the sidecar
// runs, or if a ResourceQuota has no room for them: the pod must start without it.
func (w *wiring) fitSidecar() (Note, bool) {
	if note, refused := w.previous.RefusedSidecar(); refused && w.upToDate() {
		return note, true
	}
	if w.limits == nil {
		return Note{}, false
	}
	note, refused := w.tryFit()
	if _, index := w.findSidecar(); refused && w.upToDate() && index >= 0 {
		refused = false // it was admitted: others have used the room since
	}
	return note, refused
}

// RefusedSidecar returns the note of an earlier review that found no room for the sidecar.
func (s *Status) RefusedSidecar() (Note, bool) {
	for _, text := range s.Notes {
		reason, subject, _ := strings.Cut(text, " ")
		if reason == string(RefusedByLimitRange) || reason == string(RefusedByQuota) {
			return Note{Reason: Reason(reason), Subject: subject}, true
		}
	}
	return Note{}, false
}

// usage is what a pod with a sidecar counts in a quota.
type usage struct {
	requests, limits [resources]int64
	joins            bool // the pod is BestEffort without the sidecar only
}

// add adds a resource. The RuntimeClass counts in quotas, not in LimitRanges, and in limits
// only if there are any.
func (u *usage) add(resource int, request, limit int64, overhead amounts) {
	o, _ := overhead.get(resource)
	u.requests[resource] = request + o
	if limit > 0 {
		u.limits[resource] = limit + o
	}
}

func (w *wiring) tryFit() (Note, bool) {
	r, guaranteed, overhead := &w.request.Sidecar, w.guaranteed(), w.pod.Spec.Overhead
	texts := [sized][2]*string{{&r.CPURequest, &r.CPULimit}, {&r.MemoryRequest, &r.MemoryLimit}}
	var sizes [sized]size
	var use usage
	bestEffort, podLevel := true, w.hasPodResources()
	for i := range texts {
		if podLevel {
			// The sidecar gets no resources, so the LimitRanger would give it those of the
			// LimitRange, which can exceed the pod's.
			if w.limits.container[i].isSet() {
				return Note{Reason: RefusedByLimitRange, Subject: resourceNames[i], Detail: "the pod has pod-level resources"}, true
			}
			continue
		}
		requests, limits := w.totals(i)
		f := fitting{
			resource: i, container: w.limits.container[i], pod: w.limits.pod[i], requests: requests, limits: limits,
			limited: slices.ContainsFunc(w.limits.quotas, func(q quota) bool { return q.limits[i] != unlimited }),
			asked:   slices.ContainsFunc(w.limits.quotas, func(q quota) bool { return q.requests[i] != unlimited }),
			equal:   guaranteed,
		}
		if !f.fit(sizeOf(i, *texts[i][0], *texts[i][1])) {
			return Note{Reason: RefusedByLimitRange, Subject: resourceNames[i]}, true
		}
		if !f.hasRequest {
			f.request = 0
		}
		if !f.hasLimit {
			f.limit = 0
		}
		sizes[i] = f.size
		bestEffort = bestEffort && requests == total{} && limits == total{}
		use.joins = use.joins || f.request+f.limit > 0
		use.add(i, requests.with(f.request), limits.with(f.limit), overhead)
	}
	use.joins = use.joins && bestEffort
	requests, limits := w.totals(storage)
	s := w.limits.container[storage].defaults()
	use.add(storage, requests.with(s.request), limits.with(s.limit), overhead)
	if !w.limits.container[storage].admits(s.request, s.limit) || s != (size{}) && !w.limits.pod[storage].admits(requests.with(s.request), limits.with(s.limit)) {
		return Note{Reason: RefusedByLimitRange, Subject: resourceNames[storage]}, true
	}
	for k := range w.limits.quotas {
		q := &w.limits.quotas[k]
		if name := q.exceededBy(&use); name != "" && q.counts(&w.pod.Spec) {
			return Note{Reason: RefusedByQuota, Subject: name, Detail: "ResourceQuota " + q.name}, true
		}
	}
	if podLevel {
		return Note{}, false
	}
	for i, text := range texts {
		w.resize(i, "request", text[0], sizes[i].request, sizes[i].hasRequest && !guaranteed)
		w.resize(i, "limit", text[1], sizes[i].limit, sizes[i].hasLimit)
	}
	return Note{}, false
}

// resize replaces a quantity, and remembers it for the note, if the amount differs.
func (w *wiring) resize(resource int, what string, text *string, amount int64, wanted bool) {
	if present, ok := amountOf(resource, *text); !wanted || ok && present == amount {
		return
	}
	*text = formatAmount(resource, amount)
	w.resized = append(w.resized, resourceNames[resource]+" "+what+" "+*text)
}

// exceededBy returns what the quota has no room for, or "".
func (q *quota) exceededBy(u *usage) string {
	if u.joins && q.pods < 1 {
		return podsName
	}
	for i, name := range resourceNames {
		switch {
		case u.requests[i] > max(q.requests[i], 0):
			return "requests." + name
		case u.limits[i] > max(q.limits[i], 0):
			return "limits." + name
		}
	}
	return ""
}

func sizeOf(resource int, request, limit string) (s size) {
	s.request, s.hasRequest = amountOf(resource, request)
	s.limit, s.hasLimit = amountOf(resource, limit)
	return s
}

// hasPodResources reports whether the pod as a whole has resources: its containers must
// not exceed them, so the sidecar gets none.
func (w *wiring) hasPodResources() bool {
	return isSet(w.pod.Spec.Resources) && !bytes.Equal(w.pod.Spec.Resources, []byte("{}"))
}

// totals sums up a resource of the pod's containers as the API server does
// (k8s.io/component-helpers/resource, PodRequests and PodLimits).
func (w *wiring) totals(resource int) (requests, limits total) {
	position := w.firstIndexAfterMesh()
	if !w.engine.native {
		position = len(w.pod.Spec.InitContainers) // it starts with the app
	}
	var all, native size
	add := func(to *size, s size) {
		to.request, to.limit = to.request+s.request, to.limit+s.limit
	}
	for i := range w.pod.Spec.InitContainers {
		c := &w.pod.Spec.InitContainers[i]
		if c.Name == sidecarapi.ContainerName {
			continue
		}
		running := native
		s := w.sizeOf(resource, c)
		add(&running, s)
		if c.RestartPolicy == "Always" {
			native = running
			add(&all, s)
		}
		if i < position {
			requests.before, limits.before = max(requests.before, running.request), max(limits.before, running.limit)
		} else {
			requests.beside, limits.beside = max(requests.beside, running.request), max(limits.beside, running.limit)
		}
	}
	for i := range w.pod.Spec.Containers {
		if c := &w.pod.Spec.Containers[i]; c.Name != sidecarapi.ContainerName {
			add(&all, w.sizeOf(resource, c))
		}
	}
	requests.beside, limits.beside = max(requests.beside, all.request), max(limits.beside, all.limit)
	return requests, limits
}

// sizeOf returns the size of a container, with the defaults of the LimitRange: a pod has
// them at admission, a template does not.
func (w *wiring) sizeOf(resource int, c *container) (s size) {
	s.request, s.hasRequest = c.Resources.Requests.get(resource)
	s.limit, s.hasLimit = c.Resources.Limits.get(resource)
	if !s.hasRequest && s.hasLimit {
		s.request, s.hasRequest = s.limit, true
	}
	b := w.limits.container[resource]
	s.use(b.standardAsked, b.standard)
	return s
}

// use sets what is missing to the defaults, unless they are 0.
func (s *size) use(request, limit int64) {
	if !s.hasLimit && limit > 0 {
		s.limit, s.hasLimit = limit, true
	}
	if !s.hasRequest && request > 0 {
		s.request, s.hasRequest = request, true
	}
}

// fitting finds the size of one resource of the sidecar.
type fitting struct {
	size
	resource         int
	container, pod   bounds
	requests, limits total // of the pod without the sidecar
	asked, limited   bool  // a quota refuses containers without a request, or a limit
	equal            bool  // request and limit have to be the same

	least, most, requestRoom int64 // for the limit, and the most for the request
}

// leastAmounts are the smallest limits with which the sidecar starts.
var leastAmounts = func() (least [sized]int64) {
	least[cpu], _ = amountOf(cpu, injection.MinimumSidecarCPU)
	least[memory], _ = amountOf(memory, injection.MinimumSidecarMemory)
	return least
}()

// fit sets the size that is next to the wanted one and within the bounds, and reports
// whether there is one.
func (f *fitting) fit(wanted size) bool {
	f.size = wanted
	f.complete()
	f.requestRoom = min(orUnlimited(f.container.max), room(f.pod.max, f.requests))
	f.most = min(orUnlimited(f.container.max), room(f.pod.max, f.limits))
	f.least = max(f.container.min, leastAmounts[f.resource])
	if f.pod.min > 0 {
		f.least = max(f.least, f.pod.min-f.limits.beside) // it counts, as soon as a container has a limit
	}
	if f.equal = f.equal && f.hasLimit; f.equal {
		f.most = min(f.most, f.requestRoom)
	}
	if f.hasLimit {
		f.limit = min(max(f.limit, f.least), f.most)
	} else {
		f.limit = f.most
	}
	f.request = min(max(f.request, f.container.min), f.requestRoom, f.limit)
	if f.equal {
		f.request = f.limit
	}
	return f.keepRatio(f.container.ratio, total{}, total{}) && f.keepRatio(f.pod.ratio, f.requests, f.limits) &&
		f.limit >= f.least && f.request >= f.container.min && f.request <= f.requestRoom
}

// complete adds a limit and a request where the API server would refuse a container
// without them, or would choose them itself.
func (f *fitting) complete() {
	usual := sizeOf(f.resource, usualResources[f.resource][0], usualResources[f.resource][1])
	b := f.container
	if f.limited || f.pod.ratio > 0 || b.max > 0 || b.ratio > 0 || b.standard > 0 || f.equal && (f.asked || b.isSet()) {
		f.use(0, max(b.standard, f.request, usual.limit))
	}
	if f.hasLimit && !f.hasRequest {
		f.request, f.hasRequest = f.limit, true
	}
	if f.asked || b.isSet() {
		f.use(usual.request, 0)
	}
}

var usualResources = func() [sized][2]string {
	r := DefaultConfig().Sidecar.Resources
	return [sized][2]string{{r.CPURequest, r.CPULimit}, {r.MemoryRequest, r.MemoryLimit}}
}()

func orUnlimited(bound int64) int64 {
	if bound == 0 {
		return unlimited
	}
	return bound
}

// room returns what a sidecar can have, so that the pod's total stays within a bound.
func room(most int64, t total) int64 {
	if most == 0 {
		return unlimited
	}
	return most - t.beside
}

// keepRatio brings the limit and the request so near that the ratio of their totals is
// allowed, and reports whether that worked. It lowers the limit of CPU, which only makes
// the sidecar slower, and raises the request of memory: with a lower limit of memory the
// sidecar could be killed.
func (f *fitting) keepRatio(ratio int64, requests, limits total) bool {
	if ratio == 0 {
		return true
	}
	allowed := func() bool {
		limit, request := limits.with(f.limit), requests.with(f.request)
		return request > 0 && float64(limit)/float64(request)*1000 <= float64(ratio)
	}
	lowerLimit := func() {
		f.limit = max(f.least, f.request, min(f.limit, int64(float64(ratio)*float64(requests.with(f.request))/1000)-limits.beside))
	}
	if allowed() {
		return true
	}
	if f.resource == cpu {
		lowerLimit()
	}
	if !allowed() {
		needed := int64(math.Ceil(float64(limits.with(f.limit))*1000/float64(ratio))) - requests.beside
		f.request = min(max(f.request, needed), f.requestRoom, f.limit)
	}
	if !allowed() {
		lowerLimit()
	}
	return allowed()
}

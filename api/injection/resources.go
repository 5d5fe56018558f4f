package injection

import (
	"errors"
	"fmt"

	"github.com/nova/novawire/internal/validate"
)

// Resources are the sidecar's requests and limits, each a quantity or "".
type Resources struct {
	CPURequest    string `json:"cpuRequest,omitempty"`
	CPULimit      string `json:"cpuLimit,omitempty"`
	MemoryRequest string `json:"memoryRequest,omitempty"`
	MemoryLimit   string `json:"memoryLimit,omitempty"`
}

// The smallest limits with which the sidecar starts. With less memory the container
// runtime may not start its process, and a native sidecar that does not start keeps
// the app from starting.
const (
	MinimumSidecarMemory = "32Mi"
	MinimumSidecarCPU    = "10m"
)

// Validate returns an error for the first value that is not a quantity or too small,
// or for a request above its limit, with which the API server would refuse the pod.
func (r Resources) Validate() error {
	for _, check := range []struct{ value, least string }{
		{r.CPURequest, ""},
		{r.CPULimit, MinimumSidecarCPU},
		{r.MemoryRequest, ""},
		{r.MemoryLimit, MinimumSidecarMemory},
	} {
		if check.value == "" {
			continue
		}
		var ignored string
		if err := setQuantity(&ignored, check.value, check.least); err != nil {
			return fmt.Errorf("%q: use %w", check.value, err)
		}
	}
	if exceeds(r.CPURequest, r.CPULimit) {
		return fmt.Errorf("CPU request %s is above its limit %s", r.CPURequest, r.CPULimit)
	}
	if exceeds(r.MemoryRequest, r.MemoryLimit) {
		return fmt.Errorf("memory request %s is above its limit %s", r.MemoryRequest, r.MemoryLimit)
	}
	return nil
}

func setQuantity(field *string, value, least string) error {
	amount, err := validate.ParseQuantity(value)
	if err != nil {
		return errors.New("a quantity such as 100m or 64Mi")
	}
	if least != "" {
		if minimum, _ := validate.ParseQuantity(least); amount.Cmp(minimum) < 0 {
			return fmt.Errorf("%s or more: the sidecar does not start with less", least)
		}
	}
	*field = value
	return nil
}

// exceeds reports whether a request is above its limit.
func exceeds(request, limit string) bool {
	if request == "" || limit == "" {
		return false
	}
	r, errRequest := validate.ParseQuantity(request)
	l, errLimit := validate.ParseQuantity(limit)
	return errRequest == nil && errLimit == nil && r.Cmp(l) > 0
}

// fitResources makes requests and limits from different layers consistent: the value
// that the stronger layer sets moves the other one. If a layer sets both and the
// request exceeds the limit, the limit is used for both.
func fitResources(r *Resources, refusals []validate.Refusal, layer Layer) []validate.Refusal {
	for _, pair := range []struct {
		request, limit       *string
		requestKey, limitKey string
	}{
		{&r.CPURequest, &r.CPULimit, AnnotationSidecarCPURequest, AnnotationSidecarCPULimit},
		{&r.MemoryRequest, &r.MemoryLimit, AnnotationSidecarMemoryRequest, AnnotationSidecarMemoryLimit},
	} {
		_, givesRequest := layer.Annotations[pair.requestKey]
		_, givesLimit := layer.Annotations[pair.limitKey]
		if !givesRequest && !givesLimit || !exceeds(*pair.request, *pair.limit) {
			continue
		}
		if givesRequest && !givesLimit {
			*pair.limit = *pair.request
			continue
		}
		if givesRequest {
			refusals = append(refusals, layer.refusal(pair.requestKey, fmt.Errorf("at most the limit, %s", *pair.limit)))
		}
		*pair.request = *pair.limit
	}
	return refusals
}

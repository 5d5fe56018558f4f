package drift

import "sync"

// interned keeps once what many pods have in common: names and values of variables, labels,
// annotations and images.
var interned = interner{known: map[string]string{}}

// maxInterned bounds the set. It is emptied when it is full; strings that are in use stay.
const maxInterned = 20_000

type interner struct {
	mu    sync.Mutex
	known map[string]string
}

// one returns the string that was given first among equal ones.
func (i *interner) one(s string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if first, ok := i.known[s]; ok {
		return first
	}
	if len(i.known) >= maxInterned {
		clear(i.known)
	}
	i.known[s] = s
	return s
}

// all returns a map of interned keys and values.
func (i *interner) all(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	shared := make(map[string]string, len(m))
	for key, value := range m {
		shared[i.one(key)] = i.one(value)
	}
	return shared
}

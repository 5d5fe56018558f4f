package inject

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nova/novawire/api/attribute"
)

// FuzzEngine_Pod_ResourceAttributes sets the user's OTEL_RESOURCE_ATTRIBUTES to any
// text and reads the merged variable like an SDK.
func FuzzEngine_Pod_ResourceAttributes(f *testing.F) {
	for _, seed := range []string{
		"", "team=identity", "a=1,b=2,a=3", "discount=100%", "x=%zz,y=%41", "=,==,,", "a", "$(COMMON)", "$(A),b=$(C)",
		"service.name=own", "k8s.pod.name=mine", "a=b=c;d", "ключ=значение", "a= b ", "\x00=\xff", "q=\"", "a=\\", `p=$$(X)`,
	} {
		f.Add(seed)
	}
	engine, err := New(DefaultConfig())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ToValidUTF8(value, "\uFFFD") // like JSON
		quoted, _ := json.Marshal(value)
		pod := []byte(`{"metadata":{"name":"p"},"spec":{"containers":[{"name":"app","image":"i:1","env":[{"name":"OTEL_RESOURCE_ATTRIBUTES","value":` + string(quoted) + `}]}]}}`)
		result, err := engine.Pod(pod, Namespace{Name: "nova"})
		if err != nil {
			t.Fatal(err)
		}
		wired := apply(t, pod, result.Patch)
		merged, mistakes := attribute.Parse(variableOf(t, wired, "OTEL_RESOURCE_ATTRIBUTES"))
		if len(mistakes) > 0 {
			t.Fatalf("an SDK would discard the variable: %v", mistakes)
		}
		users, _ := attribute.Parse(value)
		assertKeepsLast(t, merged, users)
		if !has(merged, "k8s.namespace.name") || !has(merged, "service.instance.id") {
			t.Errorf("ours are missing in %v", merged)
		}
		if again, _ := engine.Pod(wired, Namespace{Name: "nova"}); again.Patch != nil {
			t.Errorf("the second run changes something: %s", again.Patch)
		}
	})
}

// assertKeepsLast fails unless merged has each key once, with the user's last value.
func assertKeepsLast(t *testing.T, merged, users []attribute.KeyValue) {
	t.Helper()
	last := map[string]string{}
	for _, u := range users {
		if u.Key != "" {
			last[u.Key] = u.Value
		}
	}
	seen := map[string]bool{}
	for _, m := range merged {
		if m.Key == "" {
			continue
		}
		if seen[m.Key] {
			t.Errorf("%q is there twice", m.Key)
		}
		seen[m.Key] = true
		if want, ok := last[m.Key]; ok && m.Value != want {
			t.Errorf("%q is %q, the last value of the user was %q", m.Key, m.Value, want)
		}
	}
	for key := range last {
		if !seen[key] {
			t.Errorf("%q is missing", key)
		}
	}
}

func variableOf(t *testing.T, raw []byte, name string) string {
	t.Helper()
	pod, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range pod.Spec.Containers[0].Env.known {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

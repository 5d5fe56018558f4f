package inject

import "testing"

// A change of one namespace must not make the pods of the others stale.
func TestConfig_HashOfNamespaces(t *testing.T) {
	hashes := func(environment string) (general, special, other string) {
		c := DefaultConfig()
		c.Namespaces = map[string]NamespaceConfig{"nova": {DeploymentEnvironment: environment}}
		engine, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return engine.Hash(), engine.in(Namespace{Name: "nova"}).Hash(), engine.in(Namespace{Name: "other"}).Hash()
	}
	general, special, other := hashes("a")
	if general != DefaultConfig().hash() || other != general || special == general {
		t.Errorf("hashes %s, %s, %s", general, special, other)
	}
	if generalB, specialB, otherB := hashes("b"); generalB != general || otherB != other || specialB == special {
		t.Errorf("after a change: %s, %s, %s, before: %s, %s, %s", generalB, specialB, otherB, general, special, other)
	}
}

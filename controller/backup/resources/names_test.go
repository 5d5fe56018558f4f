package resources

import (
	"math/rand/v2"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	backupapi "github.com/nova/novawire/api/backup"
)

// Every StatefulSet name that the API server accepts gives valid names of objects and
// values of labels, and names that differ stay different.
func TestNames_AreValidForEveryStatefulSetName(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	seen := map[string]string{}
	for length := 1; length <= 253; length++ {
		for range 40 {
			name := randomName(random, length)
			set := backupapi.StatefulSet("nova", name)
			for what, got := range map[string]string{
				"backup": BackupName(set), "drill": DrillName(set),
				"job": JobName(BackupName(set), VerbRestore, "token"), "drill job": JobName(DrillName(set), VerbDrill, "token"),
				"label": labelValue(name), "policy": PolicyNames(set)[1],
			} {
				limit := map[string]int{"backup": maxCronJobName, "drill": maxCronJobName, "label": maxLabelValue, "job": maxLabelValue, "drill job": maxLabelValue, "policy": 253}[what]
				if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 || len(got) > limit {
					t.Fatalf("%s of %q: %q (%d characters): %v", what, name, got, len(got), problems)
				}
				if other, ok := seen[what+got]; ok && other != name {
					t.Fatalf("%s of %q and %q is %q", what, name, other, got)
				}
				seen[what+got] = name
			}
		}
	}
}

// randomName returns an RFC 1123 subdomain in which dots and dashes are frequent.
func randomName(random *rand.Rand, length int) string {
	const alphabet = "ab9--.."
	name := make([]byte, length)
	for i := range name {
		name[i] = alphabet[random.IntN(len(alphabet))]
		first := i == 0 || name[i-1] == '.'
		if (first || i == length-1) && (name[i] == '-' || name[i] == '.') {
			name[i] = 'a'
		}
		if !first && name[i] == '.' && name[i-1] == '-' {
			name[i] = 'b'
		}
	}
	return string(name)
}

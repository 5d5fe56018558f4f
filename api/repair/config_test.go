package repair

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/api/injection"
)

func read(t *testing.T, text string) (Config, error) {
	t.Helper()
	c := Default()
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

func TestConfig_Validate(t *testing.T) {
	for name, c := range map[string]struct{ text, problem string }{
		"nothing is repaired by default":          {`{}`, ""},
		"all of it":                               {`{"mode":"evict","perMinute":60,"readyWithin":"90s","states":["missing"],"windows":[{"schedule":"0 22 * * mon-fri","duration":"4h","timeZone":"Europe/Berlin"}],"allowedOverrides":["none"],"namespaces":{"nova":"restart"}}`, ""},
		"a mode that is a mistake":                {`{"mode":"delete"}`, `mode: "delete": use none, evict or restart`},
		"no rate at all":                          {`{"perMinute":0}`, "perMinute: 0: use 1 to 600"},
		"a rate that is no rate":                  {`{"perMinute":601}`, "perMinute: 601: use 1 to 600"},
		"a time that no pod keeps":                {`{"readyWithin":"1s"}`, "readyWithin: 1s: use 10s to 1h"},
		"a time without a unit":                   {`{"readyWithin":"300"}`, `"300" is not a duration such as 5m`},
		"a state that is not repaired":            {`{"states":["missing","skipped"]}`, `states[1]: "skipped": use missing or stale`},
		"a schedule of four fields":               {`{"windows":[{"schedule":"0 22 * *","duration":"4h"}]}`, `windows[0].schedule: "0 22 * *": 4 fields instead of 5`},
		"a schedule with H":                       {`{"windows":[{"schedule":"H 22 * * *","duration":"4h"}]}`, "use numbers"},
		"a window that never closes":              {`{"windows":[{"schedule":"0 22 * * *","duration":"25h"}]}`, "windows[0].duration: 25h0m0s: use 1m to 24h"},
		"a window without a duration":             {`{"windows":[{"schedule":"0 22 * * *"}]}`, "windows[0].duration: 0s"},
		"a zone that does not exist":              {`{"windows":[{"schedule":"0 22 * * *","duration":"4h","timeZone":"Berlin"}]}`, `windows[0].timeZone: "Berlin"`},
		"the zone of the node":                    {`{"windows":[{"schedule":"0 22 * * *","duration":"4h","timeZone":"Local"}]}`, `timeZone: "Local"`},
		"a mode that Namespaces may not choose":   {`{"allowedOverrides":["all"]}`, `allowedOverrides[0]: "all": use none, evict or restart`},
		"a mode of a Namespace that is a mistake": {`{"namespaces":{"nova":"on"}}`, `namespaces.nova: "on": use none, evict or restart`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, c.text)
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("%v, want %q", err, c.problem)
			}
		})
	}
}

func TestConfig_ModeOf(t *testing.T) {
	as := func(value string) map[string]string { return map[string]string{injection.AnnotationRepair: value} }
	const configured = `{"mode":"evict","namespaces":{"nova":"restart"}}`
	for name, c := range map[string]struct {
		config, namespace     string
		ofNamespace, ofObject map[string]string
		want                  Mode
		problem               string
	}{
		"the configuration":                               {configured, "other", nil, nil, Evict, ""},
		"the configuration of the namespace":              {configured, "nova", nil, nil, Restart, ""},
		"the Namespace's annotation is stronger":          {configured, "nova", as("evict"), nil, Evict, ""},
		"the workload's annotation is the strongest":      {configured, "nova", as("evict"), as("none"), None, ""},
		"an annotation can ask where nothing is repaired": {`{}`, "nova", nil, as("restart"), Restart, ""},
		"a mistake asks for nothing":                      {configured, "nova", nil, as("off"), None, `inject.nova.dev/repair "off" on the workload is not allowed: use none, evict or restart`},
		"what the platform does not allow":                {`{"mode":"restart","allowedOverrides":[]}`, "nova", as("evict"), nil, None, "on the namespace is not allowed: use none"},
		"what the platform allows":                        {`{"allowedOverrides":["evict"]}`, "nova", as("evict"), nil, Evict, ""},
		"everybody may switch it off":                     {`{"mode":"evict","allowedOverrides":["restart"]}`, "nova", as("none"), nil, None, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := read(t, c.config)
			if err != nil {
				t.Fatal(err)
			}
			got, err := config.ModeOf(c.namespace, c.ofNamespace, c.ofObject)
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("%v, want %q", err, c.problem)
			}
		})
	}
}

func TestConfig_Open(t *testing.T) {
	const nights = `{"schedule":"0 22 * * mon-fri","duration":"4h","timeZone":"Europe/Berlin"}`
	for name, c := range map[string]struct {
		windows, at string
		want        bool
	}{
		"without windows, always":                         {``, "2026-11-27T12:00:00Z", true},
		"the minute before it opens":                      {nights, "2026-11-26T20:59:59Z", false},
		"when it opens, in its zone":                      {nights, "2026-11-26T21:00:00Z", true},
		"past midnight, on a day that is not of the list": {nights, "2026-11-28T00:59:00Z", true}, // Friday's, on Saturday
		"when it has closed":                              {nights, "2026-11-28T01:00:00Z", false},
		"on a day that is not of the list":                {nights, "2026-11-28T22:00:00Z", false},
		"in summer, an hour earlier by UTC":               {nights, "2026-07-01T20:00:00Z", true},
		"one of two":                                      {nights + `,{"schedule":"0 12 * * *","duration":"1m"}`, "2026-11-27T12:00:30Z", true},
		"a zone that is not named is UTC":                 {`{"schedule":"0 12 * * *","duration":"1h"}`, "2026-11-27T12:30:00Z", true},
		"the hour that a clock change leaves out":         {`{"schedule":"30 2 * * *","duration":"10m","timeZone":"Europe/Berlin"}`, "2026-03-29T01:30:00Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := read(t, `{"windows":[`+c.windows+`]}`)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Open(at); got != c.want {
				t.Errorf("open: %t", got)
			}
		})
	}
}

func TestReadStatus(t *testing.T) {
	written := Status{Phase: Undone, Mode: Evict, Since: time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC), Config: "6a3f6f3ccfda", Reason: "it is not ready"}
	for name, c := range map[string]struct {
		value  string
		want   Phase
		failed bool
	}{
		"none":                    {"", "", false},
		"what was written":        {written.String(), Undone, true},
		"one that runs":           {Status{Phase: Running}.String(), Running, false},
		"one that cannot be read": {"yes", Stopped, true},
		"one of a later version":  {`{"phase":"resting"}`, Stopped, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReadStatus(map[string]string{injection.AnnotationRepairStatus: c.value})
			if got.Phase != c.want || got.Failed() != c.failed {
				t.Errorf("%+v", got)
			}
		})
	}
	if got := ReadStatus(map[string]string{injection.AnnotationRepairStatus: written.String()}); got != written {
		t.Errorf("%+v, want %+v", got, written)
	}
}

package ledger

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// said returns a message about spans.
func said(e Entry) Message { return Message{Ledger: map[string]Entry{Traces: e}} }

func TestPod(t *testing.T) {
	final := said(Entry{Accepted: 10, Exported: 7, AcceptedBytes: 100, Dropped: map[string]int64{"shutdown": 3}})
	killed := said(Entry{Accepted: 10, Exported: 7, AcceptedBytes: 100})
	cases := map[string]struct {
		steps   func(p *Pod)
		want    Entry // of traces
		unknown int
	}{
		"a run that ended is counted once, however often it is shown": {
			func(p *Pod) { p.Saw(1, killed); p.End(1, &final); p.End(1, &final); p.Saw(1, killed) },
			Entry{Accepted: 10, Exported: 7, AcceptedBytes: 100, Dropped: map[string]int64{"shutdown": 3}},
			0,
		},
		"what a killed sidecar held is unaccounted": {
			func(p *Pod) { p.End(1, &killed) },
			Entry{Accepted: 10, Exported: 7, AcceptedBytes: 100, Unaccounted: 3},
			0,
		},
		"killed between the export and its count as accepted": {
			func(p *Pod) { m := said(Entry{Accepted: 5, Exported: 7}); p.End(1, &m) },
			Entry{Accepted: 7, Exported: 7},
			0,
		},
		"the runs of a container are added up": {
			func(p *Pod) { p.End(1, &final); p.End(2, &killed) },
			Entry{Accepted: 20, Exported: 14, AcceptedBytes: 200, Dropped: map[string]int64{"shutdown": 3}, Unaccounted: 3},
			0,
		},
		"a run without a final ledger keeps what was read last, and is unknown": {
			func(p *Pod) { p.Saw(1, killed); p.End(1, nil) },
			Entry{Accepted: 10, Exported: 7, AcceptedBytes: 100, Unaccounted: 3},
			1,
		},
		"a run that was replaced unseen is unknown": {
			func(p *Pod) { p.Saw(1, killed); p.Saw(2, killed) },
			Entry{Accepted: 20, Exported: 14, AcceptedBytes: 200, Unaccounted: 3},
			1,
		},
		"runs that nobody saw are unknown": {
			func(p *Pod) { p.End(4, &final); p.Missed(4) },
			Entry{Accepted: 10, Exported: 7, AcceptedBytes: 100, Dropped: map[string]int64{"shutdown": 3}},
			3,
		},
		"redactions of the runs are added up, which no storage keeps": {
			func(p *Pod) {
				first := said(Entry{Accepted: 2, Exported: 2, Redacted: map[string]int64{"email": 2}})
				p.End(1, &first)
				m := said(Entry{Accepted: 3, Exported: 3, Redacted: map[string]int64{"email": 4}, Restored: &Restored{Accepted: 2, Exported: 2}})
				p.End(2, &m)
			},
			Entry{Accepted: 3, Exported: 3, Redacted: map[string]int64{"email": 6}},
			0,
		},
		"storage takes over what a killed run held": {
			func(p *Pod) {
				p.End(1, &killed)
				m := said(Entry{Accepted: 14, Exported: 14, AcceptedBytes: 40, Restored: &Restored{Accepted: 10, Exported: 7}})
				p.End(2, &m)
			},
			Entry{Accepted: 14, Exported: 14, AcceptedBytes: 140},
			0,
		},
		"storage takes over what a run stored": {
			func(p *Pod) {
				first := said(Entry{Accepted: 10, Exported: 7, Stored: 3})
				p.End(1, &first)
				m := said(Entry{Accepted: 14, Exported: 13, Stored: 1, Restored: &Restored{Accepted: 10, Exported: 7}})
				p.Saw(2, m)
			},
			Entry{Accepted: 14, Exported: 13, Stored: 1},
			0,
		},
		"storage that knows less than was accepted, as on a full disk": {
			func(p *Pod) {
				p.End(1, &killed)
				m := said(Entry{Accepted: 9, Exported: 9, Restored: &Restored{Accepted: 8, Exported: 7}})
				p.End(2, &m)
			},
			Entry{Accepted: 11, Exported: 9, AcceptedBytes: 100, Unaccounted: 2},
			0,
		},
		"storage of another pod is that pod's": {
			func(p *Pod) {
				m := said(Entry{Accepted: 114, Exported: 113, Stored: 1, Restored: &Restored{Accepted: 100, Exported: 100}})
				p.End(1, &m)
			},
			Entry{Accepted: 14, Exported: 13, Stored: 1},
			0,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := &Pod{}
			c.steps(p)
			got := p.Total()[Traces]
			if fmt.Sprint(got) != fmt.Sprint(c.want) || p.Unknown != c.unknown {
				t.Errorf("%+v, %d unknown; want %+v, %d", got, p.Unknown, c.want, c.unknown)
			}
			if p.Run == 0 && got.Balance() != 0 {
				t.Errorf("it does not balance: %+v", got)
			}
		})
	}
}

func TestAccount_Close(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := said(Entry{Accepted: 5, Exported: 5})
	a := &Account{}
	a.Pod("u1", "nova", "feed").End(1, &m)
	a.Close("u1", now)
	if a.Pod("u1", "nova", "feed") != nil {
		t.Error("a counted pod is opened again")
	}
	a.Close("u1", now)
	a.Pod("u2", "nova", "feed").Saw(1, m)
	for _, s := range Report(a) {
		if s.Signals[Traces].Accepted != 10 || s.Pods != 1 || s.GonePods != 1 {
			t.Errorf("the report has %+v", s)
		}
	}
	a.Close("u2", now.Add(2*remembered))
	if len(a.Counted) != 1 {
		t.Errorf("counted pods are remembered without an end: %v", a.Counted)
	}
}

// Whoever creates pods cannot make the totals grow without end.
func TestAccount_Close_Bounds(t *testing.T) {
	a := &Account{}
	for i := range maxServices + 10 {
		uid := fmt.Sprint(i)
		m := said(Entry{Accepted: 1})
		a.Pod(uid, "nova", "service"+uid).End(1, &m)
		a.Close(uid, time.Unix(0, 0))
	}
	if n := len(a.Totals["nova"]); n > maxServices+1 || a.Totals["nova"][Other].Pods != 10 {
		t.Errorf("%d services, other: %+v", n, a.Totals["nova"][Other])
	}
	for i := range maxReasons + 10 {
		uid := fmt.Sprint("reason", i)
		m := said(Entry{Accepted: 1, Dropped: map[string]int64{uid: 1}})
		a.Pod(uid, "orbit", "feed").End(1, &m)
		a.Close(uid, time.Unix(0, 0))
	}
	if d := a.Totals["orbit"]["feed"].Signals[Traces].Dropped; len(d) != maxReasons+1 || d[Other] != 10 {
		t.Errorf("%d reasons, other: %d", len(d), d[Other])
	}
}

// Sums of many pods that lie stay at the limit.
func TestEntry_Saturates(t *testing.T) {
	huge := Entry{Accepted: maxNumber, Exported: maxNumber, ExportedBytes: maxNumber, Dropped: map[string]int64{"shutdown": maxNumber}}
	a := &Account{}
	for i := range 300 {
		uid := fmt.Sprint(i)
		m := said(huge)
		a.Pod(uid, "nova", "feed").End(1, &m)
		a.Close(uid, time.Unix(0, 0))
	}
	e := Report(a)[0].Signals[Traces]
	for _, n := range []int64{e.Accepted, e.Exported, e.ExportedBytes, e.Dropped["shutdown"], e.Lost(), Sum(map[string]int64{"a": e.Accepted, "b": 1})} {
		if n < maxNumber {
			t.Errorf("%d in %+v", n, e)
		}
	}
	if n := (Entry{Exported: math.MaxInt64, Stored: math.MaxInt64}).Balance(); n >= 0 {
		t.Errorf("the balance is %d", n)
	}
}

// Who reads the account of a run under way changes nothing.
func TestPod_Total(t *testing.T) {
	p := &Pod{}
	p.Saw(1, said(Entry{Accepted: 114, Exported: 113, Restored: &Restored{Accepted: 100, Exported: 100}}))
	if e := p.Total()[Traces]; e.Accepted != 14 || p.Base != nil {
		t.Errorf("%d were accepted, the base is %v", e.Accepted, p.Base)
	}
	if p.Close(); p.Total()[Traces].Accepted != 14 || p.Base[Traces].Accepted != 100 {
		t.Errorf("at the end: %+v", p)
	}
}

// A storage that was replaced between two runs makes no number negative.
func TestPod_OtherStorage(t *testing.T) {
	p := &Pod{}
	first := said(Entry{Accepted: 100, Exported: 90, Stored: 10, Dropped: map[string]int64{"shutdown": 0}, Restored: &Restored{Accepted: 100, Exported: 90}})
	p.End(1, &first)
	second := said(Entry{Accepted: 6, Exported: 6, Restored: &Restored{Accepted: 5, Exported: 5}})
	p.End(2, &second)
	if e := p.Total()[Traces]; e.Accepted < 0 || e.Exported < 0 || e.Stored < 0 || e.Unaccounted < 0 {
		t.Errorf("%+v", e)
	}
}

// Whoever fills the account loses detail, nobody else, and a write always fits.
func TestAccount_Fit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string { return fmt.Sprintf("%x", r.Uint64()) }
	random := func() Message {
		return said(Entry{Accepted: r.Int64N(maxNumber), ExportedBytes: r.Int64N(maxNumber), Redacted: map[string]int64{text(): r.Int64N(maxNumber), text(): r.Int64N(maxNumber)}})
	}
	const stored, decoded = 8_000, 64_000
	for name, fill := range map[string]func(a *Account){
		"services": func(a *Account) {
			for i := range 400 {
				m := random()
				a.Pod(fmt.Sprint("x", i), "attacker", text()+text()).End(1, &m)
				a.Close(fmt.Sprint("x", i), now)
			}
		},
		"pods": func(a *Account) {
			for i := range 400 {
				a.Pod(fmt.Sprint("x", i), "attacker", text()).Saw(1, random())
			}
		},
		"namespaces": func(a *Account) {
			for i := range 400 {
				m := random()
				a.Pod(fmt.Sprint("x", i), "attacker"+text(), "feed").End(1, &m)
				a.Close(fmt.Sprint("x", i), now)
			}
		},
		"text that compresses well": func(a *Account) {
			for i := range 400 {
				a.Pod(fmt.Sprint("x", i), "attacker", strings.Repeat("a", MaxName)).Saw(1, said(Entry{Accepted: 1}))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &Account{}
			m := said(Entry{Accepted: 5, Exported: 5})
			for _, uid := range []string{"a", "b", "c"} {
				a.Pod(uid, "nova", "feed").End(1, &m)
				a.Close(uid, now)
			}
			a.Pod("d", "nova", "feed").Saw(1, m)
			fill(a)
			data, folded, err := a.fit(now, stored, decoded)
			if err != nil || !folded || len(data) > stored {
				t.Fatalf("%d bytes, folded %t, %v", len(data), folded, err)
			}
			if a, err = Decode(data); err != nil {
				t.Fatal(err)
			}
			pods := 0
			for _, s := range Report(a) {
				pods += s.Pods + s.GonePods
				if s.Namespace == "nova" && name != "namespaces" && (s.Name != "feed" || s.GonePods != 3 || s.Pods != 1) {
					t.Errorf("another's account changed: %+v", s)
				}
			}
			if pods != 404 {
				t.Errorf("%d pods are counted, want 404", pods)
			}
		})
	}
	a := &Account{}
	if _, folded, _ := a.Fit(now); folded {
		t.Error("an account that fits is folded")
	}
}

// A pod that was counted before its end stays counted while it exists.
func TestAccount_Keep(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := &Account{}
	a.Pod("u1", "nova", "feed").Saw(1, said(Entry{Accepted: 1}))
	a.Close("u1", now)
	if a.Keep("u1", now) || !a.Keep("u1", now.Add(remembered)) {
		t.Error("it is written too often or too seldom")
	}
	a.Pod("u2", "nova", "feed")
	a.Close("u2", now.Add(remembered+remembered/2))
	if a.Pod("u1", "nova", "feed") != nil {
		t.Error("it is opened again")
	}
}

func TestDecode(t *testing.T) {
	for name, data := range map[string][]byte{"no gzip": []byte("{}"), "cut off": {0x1f, 0x8b, 8, 0}} {
		if _, err := Decode(data); err == nil || !strings.HasPrefix(err.Error(), "read account: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := Decode(nil); err != nil || len(Report(a)) != 0 {
		t.Errorf("no data: %v", err)
	}
}

// Pods come and go, sidecars end and are killed, with and without storage; the manager sees
// everything several times, in any order that a cluster shows, and is replaced by one that
// has only what was written. The sum has each item once.
func TestAccount_Churn(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		now := time.Unix(1_800_000_000, 0)
		written, _ := (&Account{}).Encode()
		account := &Account{}
		var accepted, exported, held int64
		for pod := range 1 + r.IntN(5) {
			uid := fmt.Sprint("uid-", pod)
			stored := r.IntN(2) == 0
			var kept Restored // of the storage
			for run := range 1 + r.IntN(4) {
				id, e := run+1, Entry{}
				if stored && kept.Accepted > 0 {
					restored := kept
					e = Entry{Accepted: kept.Accepted, Exported: kept.Exported, Restored: &restored}
				}
				took := r.Int64N(100)
				sent := r.Int64N(e.Balance() + took + 1)
				accepted, exported = accepted+took, exported+sent
				e.Accepted += took / 2
				if p := account.Pod(uid, "nova", "feed"); r.IntN(2) == 0 {
					p.Saw(id, said(e)) // while it runs
				}
				if r.IntN(3) == 0 { // a manager that is replaced repeats what it has not written
					account, _ = Decode(written)
				}
				if stored && kept.Accepted > 0 {
					e.Accepted = kept.Accepted + took
				} else {
					e.Accepted = took
				}
				e.Exported += sent
				left := e.Balance()
				if stored {
					kept = Restored{Accepted: e.Accepted, Exported: e.Exported}
					if r.IntN(2) == 0 {
						e.Stored = left
					}
				} else {
					held += left
				}
				m := said(e)
				for range 1 + r.IntN(2) {
					account.Pod(uid, "nova", "feed").End(id, &m)
				}
				written, _ = account.Encode()
			}
			if stored {
				held += kept.Balance()
			}
			account.Close(uid, now)
			written, _ = account.Encode()
		}
		account, err := Decode(written)
		if err != nil {
			t.Fatal(err)
		}
		got := Report(account)[0].Signals[Traces]
		if got.Accepted != accepted || got.Exported != exported || got.Stored+got.Unaccounted != held || got.Balance() != 0 {
			t.Fatalf("seed %d: accepted %d, exported %d, held %d; the account has %+v", seed, accepted, exported, held, got)
		}
	}
}

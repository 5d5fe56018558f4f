package ledger

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ledgerapi "github.com/nova/novawire/api/ledger"
)

// keeper adds up what the observer sees, and stores it. It runs on the leader.
type keeper struct {
	Options
	reader client.Reader // of the API server, not of a cache
	writer client.Client
	shards [ledgerapi.Shards]shard
	told   bool // that an account is folded
}

// errorPause is the time after an error of the API server, such as a right that is not granted.
const errorPause = 30 * time.Second

// shard is one ConfigMap and the account in it.
type shard struct {
	loaded  bool               // it need not be read
	account *ledgerapi.Account // nil: it was never read
	stored  *corev1.ConfigMap  // as it was read or written last; without a ResourceVersion: it does not exist
	written time.Time
	// changed and urgent report what is not stored: anything, and the end of a run or a pod.
	changed, urgent bool
	fresh           bool        // it was read since the last look at the pods
	counted         []types.UID // pods that were closed since
	later           time.Time   // when the API server is asked again after an error
}

// Start keeps the accounts until the context ends, and stores them once more then.
func (k *keeper) Start(ctx context.Context) error {
	k.Observer.leads.Store(true)
	defer k.Observer.leads.Store(false)
	asking := make(chan struct{})
	go func() { defer close(asking); k.askAll(ctx) }()
	defer func() { <-asking }()
	for {
		k.keep(ctx, false)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStore)
			defer cancel()
			k.keep(last, true)
			return nil
		case <-time.After(k.Interval):
		}
	}
}

// lastStore is how long the last write may take: the lease is released after it.
const lastStore = 3 * time.Second

// keep takes what was observed and stores what is due. A ConfigMap that cannot be read or
// written does not keep the others from it.
func (k *keeper) keep(ctx context.Context, last bool) {
	if !k.Observer.complete() {
		return
	}
	for i := range k.shards {
		if s := &k.shards[i]; !s.loaded && (last || !k.now().Before(s.later)) {
			k.failed(s, "read", k.load(ctx, i))
		}
	}
	if k.take() {
		var accounts []*ledgerapi.Account
		for i := range k.shards {
			if a := k.shards[i].account; a != nil {
				accounts = append(accounts, a)
			}
		}
		k.Metrics.set(ledgerapi.Report(accounts...))
	}
	for i := range k.shards {
		s := &k.shards[i]
		due := s.urgent || s.changed && (last || k.now().Sub(s.written) >= k.StoreInterval)
		if !s.loaded || !due || !last && k.now().Before(s.later) {
			continue
		}
		if err := k.store(ctx, s); s.loaded { // else another replica has led
			k.failed(s, "stored", err)
		}
	}
}

// failed makes a shard wait after an error.
func (k *keeper) failed(s *shard, what string, err error) {
	if err != nil {
		s.later = k.now().Add(errorPause)
		slog.Warn("the account of telemetry cannot be "+what+"; will retry", "delay", errorPause.String(), "error", err)
	}
}

// load reads a shard.
func (k *keeper) load(ctx context.Context, i int) error {
	stored := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: ledgerapi.ShardName(i)}}
	err := k.reader.Get(ctx, client.ObjectKeyFromObject(stored), stored)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read ConfigMap %s: %w", stored.Name, err)
	}
	account, err := ledgerapi.Decode(stored.BinaryData[ledgerapi.Key])
	if err != nil {
		return fmt.Errorf("ConfigMap %s: %w", stored.Name, err)
	}
	k.shards[i] = shard{loaded: true, account: account, stored: stored, written: k.now(), fresh: true}
	return nil
}

// take merges what was observed into the accounts, and reports whether there was anything.
// Merging the same again changes nothing.
func (k *keeper) take() (changed bool) {
	exist := map[string]bool{}
	k.Observer.each(func(uid types.UID, p *observed) {
		s := &k.shards[ledgerapi.ShardOf(string(uid))]
		exist[string(uid)] = true
		if !s.loaded || !p.changed && !s.fresh {
			return
		}
		p.changed = false
		if len(p.runs) == 0 && p.gone.IsZero() { // it has not started yet
			return
		}
		changed = true
		account := s.account.Pod(string(uid), p.namespace, p.service)
		if account == nil { // counted by an earlier leader, or before its end
			if !p.gone.IsZero() {
				s.counted = append(s.counted, uid)
			}
			return
		}
		s.merge(account, p)
		if !p.gone.IsZero() && (p.asked || p.running() == 0) {
			s.close(string(uid), k.now())
			s.counted = append(s.counted, uid)
		}
	})
	for i := range k.shards {
		s := &k.shards[i]
		if !s.loaded {
			continue
		}
		changed, s.fresh = changed || s.fresh, false
		for uid := range s.account.Counted {
			s.changed = exist[uid] && s.account.Keep(uid, k.now()) || s.changed
		}
		for uid := range s.account.Pods {
			if !exist[uid] { // gone while no replica watched
				s.close(uid, k.now())
				changed = true
			}
		}
	}
	return changed
}

func (s *shard) merge(account *ledgerapi.Pod, p *observed) {
	for _, r := range p.runs {
		if r.heard != nil && account.Saw(r.number, *r.heard) {
			s.changed = true
		}
		if r.ended && account.End(r.number, r.message) {
			s.changed, s.urgent = true, true
		}
	}
	if account.Missed(p.ended) {
		s.changed, s.urgent = true, true
	}
}

func (s *shard) close(uid string, now time.Time) {
	s.account.Close(uid, now)
	s.changed, s.urgent = true, true
}

// store writes a shard. What was observed is forgotten after it was written. After a
// conflict the shard is read again: another replica has led in between.
func (k *keeper) store(ctx context.Context, s *shard) error {
	data, folded, err := s.account.Fit(k.now())
	if err != nil {
		return err
	}
	if folded && !k.told {
		k.told = true
		slog.Warn("the account of telemetry is too large for its ConfigMap; the smallest services of the largest namespaces become one", "configmap", s.stored.Name, "service", ledgerapi.Other)
	}
	next := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: s.stored.Name, ResourceVersion: s.stored.ResourceVersion, Labels: labels},
		BinaryData: map[string][]byte{ledgerapi.Key: data},
	}
	switch {
	case s.stored.ResourceVersion == "":
		err = k.writer.Create(ctx, next)
	case bytes.Equal(data, s.stored.BinaryData[ledgerapi.Key]):
		next = s.stored
	default:
		err = k.writer.Update(ctx, next)
	}
	if err != nil {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
			s.loaded = false
		}
		return fmt.Errorf("write ConfigMap %s: %w", s.stored.Name, err)
	}
	k.Observer.forget(s.counted, s.account)
	s.stored, s.written, s.changed, s.urgent, s.counted = next, k.now(), false, false, nil
	return nil
}

// labels are those of the ConfigMaps.
var labels = map[string]string{"app.kubernetes.io/name": "novawire", "app.kubernetes.io/component": "telemetry"}

// askAll reads the ledgers of all running sidecars in turn, so that little is unknown of a pod
// that vanishes with its node.
func (k *keeper) askAll(ctx context.Context) {
	slots := make(chan struct{}, asksAtOnce)
	for ctx.Err() == nil {
		round := time.After(k.AskInterval)
		type question struct {
			uid     types.UID
			number  int
			address string
		}
		var questions []question
		k.Observer.each(func(uid types.UID, p *observed) {
			if number := p.running(); number != 0 && p.address != "" && p.gone.IsZero() {
				questions = append(questions, question{uid, number, p.address})
			}
		})
		for _, q := range questions {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			go func() {
				defer func() { <-slots }()
				if m, err := k.Observer.asker.current(ctx, string(q.uid), q.address); err == nil {
					k.Observer.heard(q.uid, q.number, m)
				}
			}()
			select {
			case <-time.After(askPause):
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-round:
		case <-ctx.Done():
		}
	}
}

const (
	asksAtOnce = 16
	askPause   = 20 * time.Millisecond
)

func (k *keeper) now() time.Time { return k.Observer.now() }

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// podsPerSecond are created while the version changes.
const podsPerSecond = 20

// stalled is how long a creation takes if not only the webhook, which has three seconds,
// but the API server or etcd holds it up, for example on a machine that does too much.
const stalled = 5 * time.Second

// checkChange changes the version while pods are created and a backup runs. Every pod is
// admitted and wired, no backup is gone, the one that ran is committed, and the CronJob
// is the same object with the new image.
func (d database) checkChange(to release, name string, change func()) {
	d.t.Helper()
	before, schedule := d.manifests(), d.cronJob()
	stop := d.createPods(name)
	ran := make(chan error, 1)
	go func() {
		out, err := d.novawire("backup", "now", "sts/"+statefulName, "-n", d.name)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		ran <- err
	}()
	change()
	awaitManagers(d.t, to) // those that end answer for some seconds more
	created := stop()
	d.t.Logf("%d pods were created during the change", len(created))
	for _, p := range created {
		switch {
		case p.err == nil && p.wired:
		case p.err == nil && p.took > stalled:
			d.t.Logf("pod %s is not wired, but the cluster stalled: it took %s", p.name, p.took)
		default:
			d.t.Errorf("pod %s after %s: wired: %t, %v, in %s", p.name, p.after, p.wired, p.err, p.took)
		}
	}
	if err := <-ran; err != nil {
		d.t.Errorf("the backup during the change: %v", err)
	}
	d.checkInstalled(to, name)
	var now batchv1.CronJob
	eventually(d.t, "the CronJob has the image of "+to.version, time.Minute, func(context.Context) (bool, error) {
		now = d.cronJob()
		return to.made(now.Spec.JobTemplate.Spec.Template.Spec.InitContainers[0].Image), nil
	})
	if now.UID != schedule.UID || now.Spec.Schedule != schedule.Spec.Schedule || *now.Spec.Suspend {
		d.t.Errorf("the CronJob was %s %q and is %s %q, suspended: %t", schedule.UID, schedule.Spec.Schedule, now.UID, now.Spec.Schedule, *now.Spec.Suspend)
	}
	d.backup("now")
	after := d.manifests()
	kept := slices.DeleteFunc(slices.Clone(before), func(key string) bool { return !slices.Contains(after, key) })
	if len(kept) != len(before) || len(after) != len(before)+2 {
		d.t.Errorf("backups were %q and are %q, want two more", before, after)
	}
}

func (d database) cronJob() (job batchv1.CronJob) {
	d.t.Helper()
	if err := d.Get(d.t.Context(), statefulName+"-backup", d.name, &job); err != nil {
		d.t.Fatal(err)
	}
	return job
}

// creation is what happened to a pod.
type creation struct {
	name        string
	wired       bool
	err         error
	after, took time.Duration
}

// createPods creates pods, which are never scheduled, until the returned function is
// called, which returns them.
func (n namespace) createPods(name string) (stop func() []creation) {
	var creating sync.WaitGroup
	var mu sync.Mutex
	var created []creation
	done, started := make(chan struct{}), time.Now()
	creating.Go(func() {
		tick := time.NewTicker(time.Second / podsPerSecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			creating.Go(func() {
				pod := gatedPod(n.name, fmt.Sprintf("%s-%04d", name, i))
				begun := time.Now()
				err := n.Create(n.t.Context(), pod)
				mu.Lock()
				defer mu.Unlock()
				created = append(created, creation{pod.Name, wired(pod), err, begun.Sub(started), time.Since(begun)})
			})
		}
	})
	return func() []creation {
		close(done)
		creating.Wait()
		return created
	}
}

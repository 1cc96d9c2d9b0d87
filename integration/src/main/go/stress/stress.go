package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
)

// What a container did, and between which outages of containerd.
type life struct {
	id            string
	before, after int
	err           error
}

func (n *node) stress(ctx context.Context, duration time.Duration, workers int) error {
	seed := uint64(time.Now().UnixNano())
	fmt.Println("seed", seed)
	events := &record{byContainer: map[string][]string{}}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	go events.listen(listening, n.client)
	if err := events.await(); err != nil {
		return err
	}
	end := time.Now().Add(duration)
	var lock sync.Mutex
	var lives []life
	var all sync.WaitGroup
	for w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := 0; time.Now().Before(end); i++ {
				l := life{id: fmt.Sprintf("w%d-%d", w, i), before: events.outages()}
				step, cancel := context.WithTimeout(ctx, limit)
				l.err = n.live(step, l.id, random.IntN(6))
				cancel()
				removed := n.remove(l.id)
				// The end of the stream of events may be seen a moment later than that of a call.
				time.Sleep(50 * time.Millisecond)
				l.after = events.outages()
				if l.err != nil && l.after != l.before {
					// It met the restart.
					l.err = nil
				}
				l.err = errors.Join(l.err, removed)
				lock.Lock()
				lives = append(lives, l)
				lock.Unlock()
				if l.after%2 == 1 {
					if err := events.await(); err != nil {
						return
					}
				}
			}
		}()
	}
	all.Wait()
	if err := events.await(); err != nil {
		return err
	}
	var failures []error
	whole := 0
	for _, l := range lives {
		if l.err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", l.id, l.err))
		}
		if l.err == nil && l.before == l.after && l.before%2 == 0 {
			whole++
			if err := events.check(l.id); err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", l.id, err))
			}
		}
	}
	left, err := n.client.Containers(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		failures = append(failures, fmt.Errorf("%d containers are left", len(left)))
	}
	if len(failures) > 20 {
		failures = append(failures[:20], fmt.Errorf("and %d more", len(failures)-20))
	}
	fmt.Printf("containers %d, of which %d met no restart; restarts %d; events %d\n", len(lives), whole, events.outages()/2, events.count())
	return errors.Join(failures...)
}

// One container from its creation to its end; whoever called removes it.
func (n *node) live(ctx context.Context, id string, kind int) error {
	output := newOutput()
	args := []string{"sleep", "1000"}
	if kind == 0 {
		args = []string{"id"}
	}
	_, task, err := n.create(ctx, id, output, args...)
	if err != nil {
		return err
	}
	status, err := task.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if kind == 1 {
		// Killed before it was started.
		if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill: %w", err)
		}
		return n.finish(ctx, task, status, 137)
	}
	if err := task.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	switch kind {
	case 0:
		if err := output.await(ctx); err != nil {
			return err
		}
		return n.finish(ctx, task, status, 0)
	case 2:
		if err := n.exec(ctx, task, "probe", "id"); err != nil {
			return err
		}
	case 3:
		// Two at once.
		errs := make(chan error, 2)
		for _, exec := range []string{"one", "two"} {
			go func() { errs <- n.exec(ctx, task, exec, "id") }()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			return err
		}
	case 4:
		err := task.Pause(ctx)
		// On cgroup v1 a process that waits for a disk does not freeze, and runc does not wait for long.
		for ; err != nil && strings.Contains(err.Error(), "unable to freeze"); err = task.Pause(ctx) {
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("pause: %w", err)
		}
		if err := task.Resume(ctx); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	case 5:
		// An exec that outlives its container's first process, were it let.
		if err := n.leave(ctx, task, "left"); err != nil {
			return err
		}
	}
	if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	return n.finish(ctx, task, status, 137)
}

func (n *node) finish(ctx context.Context, task containerd.Task, status <-chan containerd.ExitStatus, want uint32) error {
	if err := ended(ctx, status, want); err != nil {
		return err
	}
	if _, err := task.Delete(ctx); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Starts a command that goes on.
func (n *node) leave(ctx context.Context, task containerd.Task, id string) error {
	spec, err := task.Spec(ctx)
	if err != nil {
		return err
	}
	process := *spec.Process
	process.Args = []string{"sleep", "1000"}
	exec, err := task.Exec(ctx, id, &process, creator(nil))
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if err := exec.Start(ctx); err != nil {
		return fmt.Errorf("start the exec: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
)

// Brings a container into a state and kills its shim: containerd must clean up, and the container must run again.
func (n *node) kill(ctx context.Context) error {
	states := map[string]func(context.Context, containerd.Task) error{
		"created": func(context.Context, containerd.Task) error { return nil },
		"running": func(ctx context.Context, task containerd.Task) error { return task.Start(ctx) },
		"paused": func(ctx context.Context, task containerd.Task) error {
			return errors.Join(task.Start(ctx), task.Pause(ctx))
		},
		"exec": func(ctx context.Context, task containerd.Task) error {
			return errors.Join(task.Start(ctx), n.leave(ctx, task, "left"))
		},
		"stopped": func(ctx context.Context, task containerd.Task) error {
			status, err := task.Wait(ctx)
			if err != nil {
				return err
			}
			return errors.Join(task.Start(ctx), task.Kill(ctx, syscall.SIGKILL), ended(ctx, status, 137))
		},
	}
	results := make(chan error)
	for state, enter := range states {
		go func() {
			step, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			err := errors.Join(n.killIn(step, "kill-"+state, enter), n.remove("kill-"+state))
			if err != nil {
				err = fmt.Errorf("%s: %w", state, err)
			}
			results <- err
		}()
	}
	var failures []error
	for range states {
		failures = append(failures, <-results)
	}
	fmt.Println("states", len(states))
	return errors.Join(failures...)
}

func (n *node) killIn(ctx context.Context, id string, enter func(context.Context, containerd.Task) error) error {
	container, task, err := n.create(ctx, id, nil, "sleep", "1000")
	if err != nil {
		return err
	}
	shim, err := parent(task.Pid())
	if err != nil {
		return err
	}
	if err := enter(ctx, task); err != nil {
		return err
	}
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill of the shim: %w", err)
	}
	// The task is not found as soon as its shim does not answer; it is gone when another may take its place.
	again, err := container.NewTask(ctx, creator(nil))
	for err != nil && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		again, err = container.NewTask(ctx, creator(nil))
	}
	if err != nil {
		return fmt.Errorf("cannot run again: %w", err)
	}
	if err := syscall.Kill(int(task.Pid()), 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("its process %d lives", task.Pid())
	}
	if err := again.Start(ctx); err != nil {
		return fmt.Errorf("cannot start again: %w", err)
	}
	return n.exec(ctx, again, "probe", "id")
}

func parent(pid uint32) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, is := strings.CutPrefix(line, "PPid:"); is {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("process %d has no parent", pid)
}

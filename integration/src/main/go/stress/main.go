// Command stress drives a runtime through containerd, harder than users do, and fails with what went wrong.
//
//	stress SOCKET SNAPSHOTTER RUNTIME IMAGE run SECONDS WORKERS    containers that run, exec, are paused, killed and deleted;
//	                                                               containerd may be restarted meanwhile
//	stress SOCKET SNAPSHOTTER RUNTIME IMAGE kill                   shims that are killed in each state of a container
//
// In the namespace "stress", which has the image already. Prints how much was done.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
)

const (
	// Its name is also that of a cgroup, so that it cannot be "tasks" on cgroup v1.
	namespace = "stress"
	// For one step, on a busy machine.
	limit = 60 * time.Second
	// For containerd to be back.
	outageLimit = 60 * time.Second
)

type node struct {
	client               *containerd.Client
	image                containerd.Image
	snapshotter, runtime string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 5 {
		return errors.New("usage: stress SOCKET SNAPSHOTTER RUNTIME IMAGE COMMAND …")
	}
	client, err := containerd.New(args[0])
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := namespaces.WithNamespace(context.Background(), namespace)
	image, err := client.GetImage(ctx, args[3])
	if err != nil {
		return err
	}
	n := &node{client: client, image: image, snapshotter: args[1], runtime: args[2]}
	switch command, args := args[4], args[5:]; {
	case command == "run" && len(args) == 2:
		seconds, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		workers, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return n.stress(ctx, time.Duration(seconds)*time.Second, workers)
	case command == "kill" && len(args) == 0:
		return n.kill(ctx)
	default:
		return fmt.Errorf("unknown command %q, or wrong arguments", command)
	}
}

// A container with its task, which is created and not started. The output goes to the buffer, if there is one.
func (n *node) create(ctx context.Context, id string, output *output, args ...string) (containerd.Container, containerd.Task, error) {
	container, err := n.client.NewContainer(ctx, id,
		containerd.WithSnapshotter(n.snapshotter),
		containerd.WithNewSnapshot(id, n.image),
		containerd.WithRuntime(n.runtime, nil),
		containerd.WithNewSpec(oci.WithImageConfig(n.image), oci.WithProcessArgs(args...)))
	if err != nil {
		return nil, nil, fmt.Errorf("container: %w", err)
	}
	task, err := container.NewTask(ctx, creator(output))
	if err != nil {
		return container, nil, fmt.Errorf("create: %w", err)
	}
	return container, task, nil
}

func creator(output *output) cio.Creator {
	if output == nil {
		return cio.NullIO
	}
	return cio.NewCreator(cio.WithStreams(nil, output, io.Discard))
}

// Runs a command to its end, which must be a good one.
func (n *node) exec(ctx context.Context, task containerd.Task, id string, args ...string) error {
	spec, err := task.Spec(ctx)
	if err != nil {
		return err
	}
	process := *spec.Process
	process.Args = args
	output := newOutput()
	exec, err := task.Exec(ctx, id, &process, creator(output))
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	status, err := exec.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait for the exec: %w", err)
	}
	if err := exec.Start(ctx); err != nil {
		return fmt.Errorf("start the exec: %w", err)
	}
	if err := ended(ctx, status, 0); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if err := output.await(ctx); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if _, err := exec.Delete(ctx); err != nil {
		return fmt.Errorf("delete the exec: %w", err)
	}
	return nil
}

func ended(ctx context.Context, status <-chan containerd.ExitStatus, want uint32) error {
	select {
	case s := <-status:
		code, _, err := s.Result()
		if err == nil && code != want {
			err = fmt.Errorf("it ended with %d, not %d", code, want)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("its end was not told: %w", ctx.Err())
	}
}

// What `id` prints.
type output struct {
	first chan string
	once  sync.Once
}

func newOutput() *output {
	return &output{first: make(chan string, 1)}
}

func (o *output) Write(b []byte) (int, error) {
	o.once.Do(func() { o.first <- string(b) })
	return len(b), nil
}

// Before a process is deleted: containerd's client gives up a fifo that it has not seen open by then.
func (o *output) await(ctx context.Context) error {
	select {
	case text := <-o.first:
		if !strings.HasPrefix(text, "uid=0") {
			return fmt.Errorf("it printed %q", text)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("its output did not come: %w", ctx.Err())
	}
}

// Removes whatever is there of a container, also after a restart of containerd.
func (n *node) remove(id string) error {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), outageLimit)
	defer cancel()
	for {
		err := n.removeOnce(ctx, id)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("cannot be removed: %w", err)
		}
	}
}

func (n *node) removeOnce(ctx context.Context, id string) error {
	container, err := n.client.LoadContainer(ctx, id)
	if err != nil {
		return err
	}
	task, err := container.Task(ctx, nil)
	if err == nil {
		if status, err := task.Status(ctx); err == nil && status.Status == containerd.Paused {
			if err := task.Resume(ctx); err != nil {
				return err
			}
		}
		if _, err := task.Delete(ctx, containerd.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	} else if !errdefs.IsNotFound(err) {
		return err
	}
	return container.Delete(ctx, containerd.WithSnapshotCleanup)
}

// Command shims measures what containerd's runtimes take for a container, through containerd's own API. The container is the
// program payload, which lies beside this one, on a snapshot of overlayfs.
//
//	shims SOCKET image                              makes the image's snapshot, once
//	shims SOCKET lives RUNS POOL RUNTIME…           lives of containers, in turns; a line of milliseconds for each: the runtime, from
//	                                                Create to the first byte of output, of an exec, from kill to deletion. If POOL
//	                                                is a directory, each life begins when as many shims wait there as at first
//	shims SOCKET parallel COUNT RUNTIME             that many starts at once; a line of milliseconds for each
//	shims SOCKET hold COUNT POD RUNTIME             that many containers of one pod, until stdin ends; prints "held"
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	snapshots "github.com/containerd/containerd/api/services/snapshots/v1"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	limit       = 15 * time.Minute
	namespace   = "shims"
	snapshotter = "overlayfs"
	image       = "payload"
	specType    = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
	processType = "types.containerd.io/opencontainers/runtime-spec/1/Process"
	sandbox     = "io.kubernetes.cri.sandbox-id"
)

type client struct {
	containers containers.ContainersClient
	snapshots  snapshots.SnapshotsClient
	tasks      tasks.TasksClient
	ctx        context.Context
	directory  string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shims:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: shims SOCKET COMMAND ARGUMENTS")
	}
	conn, err := grpc.NewClient("unix://"+args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	directory, err := os.MkdirTemp("", "shims")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	c := &client{
		containers.NewContainersClient(conn), snapshots.NewSnapshotsClient(conn), tasks.NewTasksClient(conn),
		metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace), directory,
	}
	command, args := args[1], args[2:]
	switch {
	case command == "image" && len(args) == 0:
		return c.image()
	case command == "lives" && len(args) >= 3:
		return c.lives(args[0], args[1], args[2:])
	case command == "parallel" && len(args) == 2:
		return c.parallel(args[0], args[1])
	case command == "hold" && len(args) == 3:
		return c.hold(args[0], args[1], args[2])
	}
	return fmt.Errorf("unknown command %q, or too few arguments", command)
}

func (c *client) image() error {
	prepared, err := c.snapshots.Prepare(c.ctx, &snapshots.PrepareSnapshotRequest{Snapshotter: snapshotter, Key: "new"})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(filepath.Join(filepath.Dir(self), "payload"))
	if err != nil {
		return err
	}
	// A snapshot without a parent is a bind mount of a directory.
	root := prepared.Mounts[0].Source
	for _, name := range []string{"proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "payload"), program, 0o755); err != nil {
		return err
	}
	_, err = c.snapshots.Commit(c.ctx, &snapshots.CommitSnapshotRequest{
		Snapshotter: snapshotter, Name: image, Key: "new", Labels: map[string]string{"containerd.io/gc.root": "1"},
	})
	return err
}

func process(args ...string) map[string]any {
	return map[string]any{"args": args, "cwd": "/", "user": map[string]any{"uid": 0, "gid": 0}}
}

func spec(pod string) map[string]any {
	annotations := map[string]string{}
	if pod != "" {
		annotations[sandbox] = pod
	}
	return map[string]any{
		"ociVersion":  "1.0.2",
		"process":     process("/payload"),
		"root":        map[string]any{"path": "rootfs"},
		"annotations": annotations,
		"mounts": []map[string]any{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
		},
		"linux": map[string]any{"namespaces": []map[string]string{{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}}},
	}
}

func message(url string, value any) (*anypb.Any, error) {
	text, err := json.Marshal(value)
	return &anypb.Any{TypeUrl: url, Value: text}, err
}

// A container that is not created yet, and the fifo of its output.
type container struct {
	*client
	id      string
	stdout  *os.File
	request *tasks.CreateTaskRequest
}

func (c *client) container(id, pod, runtime string) (*container, error) {
	described, err := message(specType, spec(pod))
	if err != nil {
		return nil, err
	}
	_, err = c.containers.Create(c.ctx, &containers.CreateContainerRequest{Container: &containers.Container{
		ID: id, Runtime: &containers.Container_Runtime{Name: runtime}, Spec: described, Snapshotter: snapshotter,
		SnapshotKey: id,
	}})
	if err != nil {
		return nil, err
	}
	prepared, err := c.snapshots.Prepare(c.ctx, &snapshots.PrepareSnapshotRequest{
		Snapshotter: snapshotter, Key: id, Parent: image,
	})
	if err != nil {
		return nil, err
	}
	path, stdout, err := c.fifo(id)
	return &container{c, id, stdout, &tasks.CreateTaskRequest{
		ContainerID: id, Rootfs: prepared.Mounts, Stdout: path, Stderr: path,
	}}, err
}

func (c *client) fifo(name string) (string, *os.File, error) {
	path := filepath.Join(c.directory, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return "", nil, err
	}
	// For both directions, so that opening does not wait.
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	return path, file, err
}

// start gives the time from the request to create it to its first byte of output.
func (c *container) start() (time.Duration, error) {
	begun := time.Now()
	if _, err := c.tasks.Create(c.ctx, c.request); err != nil {
		return 0, fmt.Errorf("create %s: %w", c.id, err)
	}
	if _, err := c.tasks.Start(c.ctx, &tasks.StartRequest{ContainerID: c.id}); err != nil {
		return 0, fmt.Errorf("start %s: %w", c.id, err)
	}
	_, err := c.stdout.Read(make([]byte, 1))
	return time.Since(begun), err
}

// exec gives the time from the request to the end of the process.
func (c *container) exec() (time.Duration, error) {
	described, err := message(processType, process("/payload", "ends"))
	if err != nil {
		return 0, err
	}
	path, stdout, err := c.fifo(c.id + "-exec")
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer stdout.Close()
	begun := time.Now()
	if _, err := c.tasks.Exec(c.ctx, &tasks.ExecProcessRequest{
		ContainerID: c.id, ExecID: "e", Spec: described, Stdout: path, Stderr: path,
	}); err != nil {
		return 0, err
	}
	if _, err := c.tasks.Start(c.ctx, &tasks.StartRequest{ContainerID: c.id, ExecID: "e"}); err != nil {
		return 0, err
	}
	if _, err := c.tasks.Wait(c.ctx, &tasks.WaitRequest{ContainerID: c.id, ExecID: "e"}); err != nil {
		return 0, err
	}
	taken := time.Since(begun)
	_, err = c.tasks.DeleteProcess(c.ctx, &tasks.DeleteProcessRequest{ContainerID: c.id, ExecID: "e"})
	return taken, err
}

// stop gives the time from the kill to the deletion of the task, and removes the container.
func (c *container) stop() (time.Duration, error) {
	begun := time.Now()
	if _, err := c.tasks.Kill(c.ctx, &tasks.KillRequest{ContainerID: c.id, Signal: 9, All: true}); err != nil {
		return 0, err
	}
	if _, err := c.tasks.Wait(c.ctx, &tasks.WaitRequest{ContainerID: c.id}); err != nil {
		return 0, err
	}
	if _, err := c.tasks.Delete(c.ctx, &tasks.DeleteTaskRequest{ContainerID: c.id}); err != nil {
		return 0, err
	}
	taken := time.Since(begun)
	c.stdout.Close()
	os.Remove(c.request.Stdout)
	if _, err := c.snapshots.Remove(c.ctx, &snapshots.RemoveSnapshotRequest{Snapshotter: snapshotter, Key: c.id}); err != nil {
		return 0, err
	}
	_, err := c.containers.Delete(c.ctx, &containers.DeleteContainerRequest{ID: c.id})
	return taken, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (c *client) lives(runs, pool string, runtimes []string) error {
	count, err := strconv.Atoi(runs)
	if err != nil {
		return err
	}
	full := ready(pool)
	for i := range count {
		for _, runtime := range runtimes {
			if err := awaitReady(pool, full); err != nil {
				return err
			}
			live, err := c.container(fmt.Sprintf("life-%d", i), "", runtime)
			if err != nil {
				return err
			}
			start, err := live.start()
			if err != nil {
				return err
			}
			exec, err := live.exec()
			if err != nil {
				return err
			}
			stop, err := live.stop()
			if err != nil {
				return err
			}
			fmt.Println(runtime, milliseconds(start), milliseconds(exec), milliseconds(stop))
		}
	}
	return nil
}

// ready counts the shims that wait.
func ready(pool string) int {
	names, _ := filepath.Glob(filepath.Join(pool, "*.ready"))
	return len(names)
}

func awaitReady(pool string, count int) error {
	for range 6000 {
		if ready(pool) >= count {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s has no %d shims that are ready", pool, count)
}

func (c *client) parallel(number, runtime string) error {
	count, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	all := make([]*container, count)
	for i := range all {
		if all[i], err = c.container(fmt.Sprintf("parallel-%d", i), "", runtime); err != nil {
			return err
		}
	}
	taken := make([]time.Duration, count)
	failures := make([]error, count)
	var group sync.WaitGroup
	for i := range all {
		group.Add(1)
		go func() {
			defer group.Done()
			taken[i], failures[i] = all[i].start()
		}()
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for i := range all {
		fmt.Println(milliseconds(taken[i]))
		if _, err := all[i].stop(); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) hold(number, pod, runtime string) error {
	count, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	held := []*container{}
	for i := range count {
		// The first container of a pod is its sandbox.
		id := pod
		if i > 0 {
			id = fmt.Sprintf("%s-%d", pod, i)
		}
		one, err := c.container(id, pod, runtime)
		if err != nil {
			return err
		}
		if _, err := one.start(); err != nil {
			return err
		}
		held = append([]*container{one}, held...)
	}
	fmt.Println("held")
	if _, err := io.Copy(io.Discard, bufio.NewReader(os.Stdin)); err != nil {
		return err
	}
	for _, one := range held {
		if _, err := one.stop(); err != nil {
			return err
		}
	}
	return nil
}

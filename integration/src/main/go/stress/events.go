package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/typeurl/v2"
)

// The events of tasks, in the order of their coming. "exit" is that of a container's first process, "exit ID" an exec's.
type record struct {
	lock        sync.Mutex
	byContainer map[string][]string
	total       int
	// Twice the outages that are over, and one more in an outage.
	phase  int
	began  bool
	serves bool
}

// Listens until told to stop, also after a restart of containerd.
func (r *record) listen(ctx context.Context, client *containerd.Client) {
	for ctx.Err() == nil {
		stream, cancel := context.WithCancel(ctx)
		envelopes, errs := client.Subscribe(stream, `topic~="/tasks/"`)
		// A subscription is not answered; one that fails does so at once, as the server is asked before.
		if serving, err := client.IsServing(stream); err == nil && serving {
			r.up()
			for open := true; open; {
				select {
				case envelope := <-envelopes:
					r.add(envelope.Event)
				case <-errs:
					open = false
				}
			}
			r.down()
		}
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *record) up() {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.began {
		r.phase++
	}
	r.began, r.serves = true, true
}

func (r *record) down() {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.phase++
	r.serves = false
}

// Waits until containerd serves.
func (r *record) await() error {
	for end := time.Now().Add(outageLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		r.lock.Lock()
		serves := r.serves
		r.lock.Unlock()
		if serves {
			return nil
		}
	}
	return errors.New("containerd does not serve")
}

func (r *record) outages() int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.phase
}

func (r *record) count() int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.total
}

func (r *record) add(event typeurl.Any) {
	value, err := typeurl.UnmarshalAny(event)
	if err != nil {
		return
	}
	id, what := "", ""
	switch e := value.(type) {
	case *apievents.TaskCreate:
		id, what = e.ContainerID, "create"
	case *apievents.TaskStart:
		id, what = e.ContainerID, "start"
	case *apievents.TaskExecAdded:
		id, what = e.ContainerID, "added "+e.ExecID
	case *apievents.TaskExecStarted:
		id, what = e.ContainerID, "started "+e.ExecID
	case *apievents.TaskPaused:
		id, what = e.ContainerID, "paused"
	case *apievents.TaskResumed:
		id, what = e.ContainerID, "resumed"
	case *apievents.TaskExit:
		id, what = e.ContainerID, "exit"
		if e.ID != e.ContainerID {
			what = "exit " + e.ID
		}
	case *apievents.TaskDelete:
		id, what = e.ContainerID, "delete"
	default:
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.byContainer[id] = append(r.byContainer[id], what)
	r.total++
}

// Whether a container that is gone told its life as it should: create, start, each exec's life, one exit, delete.
func (r *record) check(id string) error {
	var events []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		r.lock.Lock()
		events = append([]string(nil), r.byContainer[id]...)
		r.lock.Unlock()
		if len(events) > 0 && events[len(events)-1] == "delete" {
			break
		}
	}
	seen := map[string]int{}
	for at, event := range events {
		seen[event]++
		before := ""
		switch word, exec, _ := strings.Cut(event, " "); {
		case event == "create":
		case event == "start", event == "exit":
			before = "create"
		case event == "delete":
			before = "exit"
		case word == "added", event == "paused":
			before = "start"
		case event == "resumed":
			before = "paused"
		case word == "started":
			before = "added " + exec
		case word == "exit":
			before = "started " + exec
		}
		late := seen["exit"] > 0 && event != "exit" && event != "delete"
		if seen[event] > 1 || (before != "" && seen[before] == 0) || late || (event == "delete" && at != len(events)-1) {
			return fmt.Errorf("the events are out of order at %q: %q", event, events)
		}
	}
	for _, one := range []string{"create", "exit", "delete"} {
		if seen[one] != 1 {
			return fmt.Errorf("the event %q was told %d times: %q", one, seen[one], events)
		}
	}
	for event := range seen {
		if exec, is := strings.CutPrefix(event, "started "); is && seen["exit "+exec] != 1 {
			return fmt.Errorf("the end of the exec %s was not told: %q", exec, events)
		}
	}
	return nil
}

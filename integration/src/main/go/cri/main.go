// Command cri asks a container runtime what a kubelet asks it, one call at a time.
//
//	cri SOCKET pull IMAGE [HANDLER]
//	cri SOCKET pod NAME [HANDLER [HOST_ID]]    a pod with a network of its own; prints its id. With HOST_ID, a first id on the
//	                                           host, in a user namespace of 65536 ids
//	cri SOCKET start POD IMAGE COMMAND…        starts a container, which is named as its image; prints its id
//	cri SOCKET exec CONTAINER COMMAND…         prints what the command printed
//	cri SOCKET remove-pod POD
//	cri SOCKET remove-image IMAGE
//	cri SOCKET filesystem                      prints where images are kept, and the bytes and inodes that they take
//	cri SOCKET call METHOD [REQUEST]           any call of the runtime service: RunPodSandbox, ContainerStatus, …; the request
//	                                           in JSON, with the names of the protocol; prints the answer likewise
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	limit = 4 * time.Minute
	// Containerd 1.7 and 2.0 take the runtime of a pull from here.
	handlerAnnotation = "io.containerd.cri.runtime-handler"
	userNamespaceIDs  = 65536
)

type client struct {
	cri.RuntimeServiceClient
	cri.ImageServiceClient
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: cri SOCKET COMMAND ARGUMENTS")
	}
	conn, err := grpc.NewClient("unix://"+args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := client{cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)}
	command, args := args[1], args[2:]
	switch {
	case command == "pull" && len(args) >= 1:
		return c.pull(ctx, args)
	case command == "pod" && len(args) >= 1:
		return c.pod(ctx, args)
	case command == "start" && len(args) >= 3:
		return c.start(ctx, args[0], args[1], args[2:])
	case command == "exec" && len(args) >= 2:
		return c.exec(ctx, args[0], args[1:])
	case command == "remove-pod" && len(args) == 1:
		if _, err := c.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: args[0]}); err != nil {
			return err
		}
		_, err := c.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: args[0]})
		return err
	case command == "remove-image" && len(args) == 1:
		_, err := c.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: args[0]}})
		return err
	case command == "filesystem" && len(args) == 0:
		answer, err := c.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
		if err != nil {
			return err
		}
		for _, fs := range answer.ImageFilesystems {
			fmt.Println(fs.FsId.GetMountpoint(), fs.UsedBytes.GetValue(), fs.InodesUsed.GetValue())
		}
		return nil
	case command == "call" && len(args) >= 1:
		return c.call(ctx, args[0], argument(args, 1))
	}
	return fmt.Errorf("unknown command %q, or wrong arguments", command)
}

func argument(args []string, at int) string {
	if len(args) > at {
		return args[at]
	}
	return ""
}

func (c client) pull(ctx context.Context, args []string) error {
	handler := argument(args, 1)
	spec := &cri.ImageSpec{Image: args[0], RuntimeHandler: handler}
	pod := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "pull", Uid: "pull", Namespace: "default"}}
	if handler != "" {
		spec.Annotations = map[string]string{handlerAnnotation: handler}
		pod.Annotations = map[string]string{handlerAnnotation: handler}
	}
	answer, err := c.PullImage(ctx, &cri.PullImageRequest{Image: spec, SandboxConfig: pod})
	if err != nil {
		return err
	}
	fmt.Println(answer.ImageRef)
	return nil
}

// The same for the pod and for its containers, as the runtime wants it with each.
func podConfig(name, hostID string) (*cri.PodSandboxConfig, error) {
	namespaces := &cri.NamespaceOption{Network: cri.NamespaceMode_POD, Pid: cri.NamespaceMode_CONTAINER}
	if hostID != "" {
		first, err := strconv.ParseUint(hostID, 10, 32)
		if err != nil {
			return nil, err
		}
		mapping := []*cri.IDMapping{{ContainerId: 0, HostId: uint32(first), Length: userNamespaceIDs}}
		namespaces.UsernsOptions = &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: mapping, Gids: mapping}
	}
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "default"},
		LogDirectory: "/var/log/pods/" + name,
		Annotations:  map[string]string{"dev.coldstart.test/host-id": hostID},
		Linux: &cri.LinuxPodSandboxConfig{
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: namespaces},
		},
	}, nil
}

func (c client) pod(ctx context.Context, args []string) error {
	config, err := podConfig(args[0], argument(args, 2))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(config.LogDirectory, 0755); err != nil {
		return err
	}
	answer, err := c.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: argument(args, 1)})
	if err != nil {
		return err
	}
	fmt.Println(answer.PodSandboxId)
	return nil
}

func (c client) start(ctx context.Context, pod, image string, command []string) error {
	status, err := c.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: pod})
	if err != nil {
		return err
	}
	config, err := podConfig(status.Status.Metadata.Name, status.Status.Annotations["dev.coldstart.test/host-id"])
	if err != nil {
		return err
	}
	container, err := c.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: pod,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "container"},
			Image:    &cri.ImageSpec{Image: image},
			Command:  command,
			LogPath:  "log",
			Linux: &cri.LinuxContainerConfig{
				SecurityContext: &cri.LinuxContainerSecurityContext{
					NamespaceOptions: config.Linux.SecurityContext.NamespaceOptions,
				},
			},
		},
		SandboxConfig: config,
	})
	if err != nil {
		return err
	}
	if _, err := c.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: container.ContainerId}); err != nil {
		return err
	}
	fmt.Println(container.ContainerId)
	return nil
}

func (c client) exec(ctx context.Context, container string, command []string) error {
	answer, err := c.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: container, Cmd: command, Timeout: 60})
	if err != nil {
		return err
	}
	os.Stdout.Write(answer.Stdout)
	os.Stderr.Write(answer.Stderr)
	if answer.ExitCode != 0 {
		return fmt.Errorf("the command ended with %d", answer.ExitCode)
	}
	return nil
}

func (c client) call(ctx context.Context, name, text string) error {
	method := reflect.ValueOf(c.RuntimeServiceClient).MethodByName(name)
	if !method.IsValid() {
		return fmt.Errorf("the runtime service has no method %q", name)
	}
	request := reflect.New(method.Type().In(1).Elem())
	if text != "" {
		if err := json.Unmarshal([]byte(text), request.Interface()); err != nil {
			return fmt.Errorf("%s is no %s: %w", text, request.Type().Elem().Name(), err)
		}
	}
	answer := method.Call([]reflect.Value{reflect.ValueOf(ctx), request})
	if err, failed := answer[1].Interface().(error); failed {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer[0].Interface())
}

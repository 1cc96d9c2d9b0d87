package dev.coldstart.integration.start;

import dev.coldstart.integration.node.Node;
import java.util.ArrayList;
import java.util.List;

/** A way to start the model server on a node, by stock clients. */
enum Way {
    OVERLAYFS("overlayfs + runc", "overlayfs", "io.containerd.runc.v2"),
    LAZY("coldstart, lazily", "coldstart", "io.containerd.coldstart.v1"),
    RESTORE("coldstart, from the snapshot", "coldstart", "io.containerd.coldstart.v1");

    private final String title;
    private final String snapshotter;
    private final String runtime;

    Way(String title, String snapshotter, String runtime) {
        this.title = title;
        this.snapshotter = snapshotter;
        this.runtime = runtime;
    }

    String title() {
        return title;
    }

    List<String> pull(String image) {
        return this == RESTORE ? List.of() : Node.pullCommand(snapshotter, image);
    }

    List<String> run(String image, String container) {
        List<String> command = new ArrayList<>(
                List.of("ctr", "run", "--detach", "--net-host", "--snapshotter", snapshotter, "--runtime", runtime));
        if (this != OVERLAYFS) {
            command.addAll(List.of(
                    "--annotation",
                    "coldstart.dev/snapshot=auto",
                    "--annotation",
                    "coldstart.dev/ready=http::8000/health"));
        }
        command.addAll(List.of(image, container));
        return command;
    }
}

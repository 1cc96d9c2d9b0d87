package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.start.Prediction;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** A node whose configuration says that layers are served whole, over libfuse 2. */
class WholeLayersIT {
    private static final Duration LIMIT = Duration.ofMinutes(4);
    private static final String RUN = """
            ctr run --detach --net-host --snapshotter "$1" --runtime io.containerd.runc.v2 "$2" "$3"
            """;

    @Test
    void containersStartReadRightBytesAndAreCommitted() {
        Root.assume();
        Repository repository = Repository.here();
        try (Registry registry = Registry.start(repository, "whole-reg");
                Node node = Node.create(repository, "whole-node", Suite.TRIXIE, registry)) {
            String image = registry.pushModelServer();
            TestHost host = node.host();
            host.write(
                    Node.CONFIG,
                    host.ask("cat", Node.CONFIG).replace("[snapshotter]", "[snapshotter]\nserve = \"fuse\"") + "\n");
            node.startSnapshotter();
            node.startContainerd();
            assertThat(node.coldstart("version")).contains("jnr-fuse", "the configuration says so");
            node.coldstart("index", image);
            long before = host.bytesFrom(registry.host());
            pull(node, "coldstart", image);
            assertThat(host.bytesFrom(registry.host()) - before)
                    .as("bytes that the pull fetched, of an image of hundreds of MiB")
                    .isLessThan(8L << 20);

            host.script(LIMIT, RUN, "coldstart", image, "served");
            Prediction answer = answer(host);
            assertThat(answer.initialised()).isEqualTo(1);
            assertThat(host.script(TestHost.SOON, "grep -c ' /run/coldstart/t/[0-9]* .* - fuse' /proc/self/mountinfo"))
                    .as("layers mounted over FUSE")
                    .isNotEqualTo("0");

            pull(node, "overlayfs", image);
            host.script(LIMIT, """
                    set -euo pipefail
                    for snapshotter in overlayfs coldstart; do
                        mkdir -p "/mnt/$snapshotter"
                        ctr images mount --snapshotter "$snapshotter" --platform linux/amd64 "$1" "/mnt/$snapshotter" >/dev/null
                        (cd "/mnt/$snapshotter" &&
                            find . -mindepth 1 -type d -printf '%p %m %U %G\\n' -o -printf '%p %y %m %U %G %l %T@\\n' |
                            sort >"/tmp/$snapshotter.names" &&
                            find usr/lib/python3 app etc -xdev -type f -print0 | sort -z | xargs -0 sha256sum >"/tmp/$snapshotter.sums")
                    done
                    diff /tmp/overlayfs.names /tmp/coldstart.names >&2
                    diff /tmp/overlayfs.sums /tmp/coldstart.sums >&2
                    umount /mnt/overlayfs /mnt/coldstart
                    """, image);

            String write = "echo new >/app/new && rm /app/server.py && mv /etc/hostname /etc/moved";
            host.ask("ctr", "tasks", "exec", "--exec-id", "w", "served", "sh", "-c", write);
            String layer = host.script(LIMIT, "ctr snapshots --snapshotter coldstart diff served | tar -tzf - | sort");
            assertThat(layer.lines().map(String::strip))
                    .contains("app/new", "app/.wh.server.py", "etc/moved", "etc/.wh.hostname");
            assertThat(layer.lines().count())
                    .as("names in a layer of a few changes")
                    .isLessThan(60);
            node.remove("served");

            node.stopSnapshotter();
            node.startSnapshotter();
            node.awaitReconnection();
            host.script(LIMIT, RUN, "coldstart", image, "again");
            assertThat(answer(host).prediction())
                    .as("after a restart of the snapshotter")
                    .isEqualTo(answer.prediction());
            node.remove("again");
        }
    }

    private static void pull(Node node, String snapshotter, String image) {
        Output pull = node.ctr(
                "images", "pull", "--local=false", "--platform", "linux/amd64", "--snapshotter", snapshotter, image);
        assertThat(pull.status()).as(pull.err()).isZero();
    }

    private static Prediction answer(TestHost host) {
        String[] ask = {"curl", "-fsS", "-m", "20", "http://127.0.0.1:8000/predict?x=0.5"};
        host.await("an answer", LIMIT, () -> host.run(TestHost.SOON, ask).succeeded());
        return Prediction.parse(host.ask(ask));
    }
}

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

/** Two nodes of a cluster, one of which pulls an image before the other. */
class SharingIT {
    private static final Duration LIMIT = Duration.ofMinutes(4);
    /** The manifest of what was published for the image. */
    private static final String ARTIFACT = """
            set -euo pipefail
            manifests="https://$0/v2/model-server/manifests"
            image=$(curl -fsSI -H "Accept: application/vnd.oci.image.manifest.v1+json" "$manifests/latest" |
                tr -d '\\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p')
            artifact=$(curl -fsS -H "Accept: application/vnd.oci.image.index.v1+json" "$manifests/${image/:/-}" |
                grep -o '"digest":"sha256:[0-9a-f]*"' | cut -d '"' -f 4)
            curl -fsS -H "Accept: application/vnd.oci.image.manifest.v1+json" "$manifests/$artifact" | grep coldstart.index
            """;

    private static final String KEY = "[index]\nkey_file = \"/etc/coldstart/key\"\n";

    @Test
    void whatOneNodeReadTheOtherOneNeedNotRead() {
        Root.assume();
        Repository repository = Repository.here();
        try (Registry registry = Registry.start(repository, "share-reg");
                Node first = Node.create(repository, "share-one", Suite.TRIXIE, registry);
                Node second = Node.create(repository, "share-two", Suite.TRIXIE, registry)) {
            String image = registry.pushModelServer();
            second.host().link(first.host());
            for (Node node : new Node[] {first, second}) {
                node.host().script(TestHost.SOON, "umask 077; printf %064d 7 >/etc/coldstart/key");
            }

            first.configure(KEY + "listen = \"0.0.0.0:7070\"");
            second.configure(KEY + "peers = [\"share-one:7070\", \"share-one:7071\"]");
            long whole = pull(first, registry, image);
            assertThat(answer(first.host(), image).initialised()).isEqualTo(1);
            first.host().await("a trace of the start", LIMIT, () -> hasTraces(first));
            first.remove("served");
            assertThat(pull(second, registry, image))
                    .as("bytes of the registry, where a first pull took " + whole)
                    .isLessThan(whole / 10);
            assertThat(hasTraces(second)).isTrue();
            assertThat(answer(second.host(), image).initialised()).isEqualTo(1);
            second.remove("served");

            first.configure(KEY + "publish = true");
            second.configure(KEY);
            var _ = pull(first, registry, image);
            first.host()
                    .await(
                            "an artifact that refers to the image",
                            LIMIT,
                            () -> first.host()
                                    .run(TestHost.SOON, "bash", "-c", ARTIFACT, registry.address())
                                    .succeeded());
            assertThat(answer(first.host(), image).initialised()).isEqualTo(1);
            first.host()
                    .await("what the start read to be published", LIMIT, () -> publishedPrefetches(first, registry));
            first.remove("served");
            assertThat(pull(second, registry, image))
                    .as("bytes of the registry, where a first pull took " + whole)
                    .isLessThan(whole / 4);
            assertThat(hasPrefetches(second)).isTrue();
            long before = second.host().bytesFrom(registry.host());
            assertThat(answer(second.host(), image).initialised()).isEqualTo(1);
            assertThat(second.host().bytesFrom(registry.host()) - before)
                    .as("bytes for the start, which reads parts of spans that have twice as many")
                    .isLessThan(whole / 4);
            second.remove("served");
        }
    }

    /** Pulls as a new node would; gives the bytes that came from the registry. */
    private static long pull(Node node, Registry registry, String image) {
        node.forget();
        long before = node.host().bytesFrom(registry.host());
        Output pull =
                node.ctr(Node.pullCommand("coldstart", image).stream().skip(1).toArray(String[]::new));
        assertThat(pull.status()).as(pull.err()).isZero();
        return node.host().bytesFrom(registry.host()) - before;
    }

    private static boolean hasTraces(Node node) {
        return node.host()
                .run(TestHost.SOON, "bash", "-c", "ls /var/lib/coldstart/index/*.trace")
                .succeeded();
    }

    private static boolean publishedPrefetches(Node node, Registry registry) {
        Output manifest = node.host().run(TestHost.SOON, "bash", "-c", ARTIFACT, registry.address());
        return manifest.succeeded() && manifest.out().contains("coldstart.prefetch");
    }

    private static boolean hasPrefetches(Node node) {
        return node.host()
                .run(TestHost.SOON, "bash", "-c", "ls /var/lib/coldstart/index/*.prefetch")
                .succeeded();
    }

    private static Prediction answer(TestHost host, String image) {
        var _ = host.script(LIMIT, """
                ctr run --detach --net-host --snapshotter coldstart --runtime io.containerd.runc.v2 "$1" served
                """, image);
        String[] ask = {"curl", "-fsS", "-m", "20", "http://127.0.0.1:8000/predict?x=0.5"};
        host.await("an answer", LIMIT, () -> host.run(TestHost.SOON, ask).succeeded());
        return Prediction.parse(host.ask(ask));
    }
}

package dev.coldstart.snapshotter.sharing;

import static dev.coldstart.snapshotter.rootfs.TestNode.LAYERS;
import static dev.coldstart.snapshotter.rootfs.TestNode.withImage;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.content.StoredBlobs;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.ArtifactRegistry;
import dev.coldstart.snapshotter.registry.RegistryException;
import dev.coldstart.snapshotter.rootfs.TestNode;
import dev.coldstart.snapshotter.trace.TraceFiles;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One node publishes what it made of an image; another finds it in the repository and needs no blob. */
class PublishedIndexesTest {
    @TempDir
    Path dir;

    private ClusterKey key;

    @BeforeEach
    void makeKey() throws Exception {
        Path file = Files.writeString(dir.resolve("key"), "k".repeat(32));
        key = ClusterKey.read(Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------")));
    }

    /** A registry with or without the referrers API. */
    private static final class Registry implements ArtifactRegistry {
        private final boolean hasReferrers;
        private final Map<Digest, byte[]> blobs = new ConcurrentHashMap<>();
        private final Map<Digest, byte[]> manifests = new ConcurrentHashMap<>();
        private final List<byte[]> referring = new ArrayList<>();
        private byte @Nullable [] tag;
        private volatile boolean denies;
        private final CountDownLatch denied = new CountDownLatch(1);
        private final CountDownLatch published = new CountDownLatch(1);

        Registry(boolean hasReferrers) {
            this.hasReferrers = hasReferrers;
        }

        @Override
        public synchronized byte @Nullable [] referrers(Repository repository, Digest subject, String artifactType) {
            if (!hasReferrers) {
                return tag;
            }
            StringBuilder json = new StringBuilder("{\"manifests\":[");
            for (byte[] manifest : referring) {
                json.append("{\"mediaType\":\"m\",\"artifactType\":\"" + artifactType + "\",\"digest\":\""
                        + Digest.ofContent(manifest) + "\",\"size\":" + manifest.length + "}");
            }
            return json.append("]}").toString().getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public byte[] manifest(Repository repository, Digest digest) throws IOException {
            byte[] found = manifests.get(digest);
            if (found == null) {
                throw new IOException("no manifest " + digest);
            }
            return found;
        }

        @Override
        public InputStream blob(Repository repository, Digest digest) throws IOException {
            byte[] found = blobs.get(digest);
            if (found == null) {
                throw new IOException("no blob " + digest);
            }
            return new ByteArrayInputStream(found);
        }

        @Override
        public void put(Repository repository, Digest digest, Path file) throws IOException {
            if (denies) {
                denied.countDown();
                throw new RegistryException(RegistryException.Reason.DENIED, "may not push");
            }
            byte[] bytes = Files.readAllBytes(file);
            assertThat(Digest.ofContent(bytes)).isEqualTo(digest);
            blobs.put(digest, bytes);
        }

        @Override
        public synchronized boolean put(Repository repository, Digest digest, byte[] manifest) {
            assertThat(Digest.ofContent(manifest)).isEqualTo(digest);
            manifests.put(digest, manifest);
            referring.add(manifest);
            if (hasReferrers) {
                published.countDown();
            }
            return hasReferrers;
        }

        @Override
        public synchronized byte @Nullable [] referrersTag(Repository repository, Digest subject) {
            return tag;
        }

        @Override
        public synchronized void putReferrersTag(Repository repository, Digest subject, byte[] index) {
            tag = index;
            published.countDown();
        }
    }

    private PublishedIndexes published(Registry registry) {
        return new PublishedIndexes(
                key,
                registry,
                new TraceFiles(dir),
                new PublishedPrefetches(key, registry, new TraceFiles(dir)),
                (layer, to) -> false,
                true);
    }

    private static StoredBlobs withoutBlobs() {
        return withImage(new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                throw new IOException("there is no blob here");
            }
        });
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void anotherNodeFindsWhatOneHasPublished(boolean hasReferrers) throws Exception {
        Registry registry = new Registry(hasReferrers);
        try (TestNode first =
                        new TestNode(dir.resolve("1"), withImage(new StoredBlobs()), List.of(published(registry)));
                TestNode second = new TestNode(dir.resolve("2"), withoutBlobs(), List.of(published(registry)))) {
            first.pull();
            assertThat(registry.published.await(60, TimeUnit.SECONDS)).isTrue();
            second.pull();
            for (Digest layer : LAYERS) {
                assertThat(second.layers().tree(layer))
                        .hasSameBinaryContentAs(first.layers().tree(layer));
            }
        }
    }

    @Test
    void whatOnePacksForStartsAnotherOpensAndNobodyElse() throws Exception {
        Registry registry = new Registry(true);
        Path here = Files.createDirectory(dir.resolve("here"));
        Path there = Files.createDirectory(dir.resolve("there"));
        TraceFiles traces = new TraceFiles(there);
        PublishedPrefetches found = new PublishedPrefetches(key, registry, traces);
        Digest packed = LAYERS.getFirst();
        try (TestNode first = new TestNode(
                        dir.resolve("1"),
                        withImage(new StoredBlobs()),
                        List.of(new PublishedIndexes(
                                key,
                                registry,
                                new TraceFiles(here),
                                new PublishedPrefetches(key, registry, new TraceFiles(here)),
                                (layer, to) -> {
                                    to.write(layer.bytes());
                                    return layer.equals(packed);
                                },
                                true)));
                TestNode second = new TestNode(
                        dir.resolve("2"),
                        withoutBlobs(),
                        List.of(new PublishedIndexes(key, registry, traces, found, (layer, to) -> false, false)))) {
            first.pull();
            assertThat(registry.published.await(60, TimeUnit.SECONDS)).isTrue();
            second.pull();
        }
        for (Digest layer : LAYERS) {
            try (InputStream in = found.open(layer)) {
                if (layer.equals(packed)) {
                    assertThat(in).hasBinaryContent(packed.bytes());
                } else {
                    assertThat(in).isNull();
                }
            }
        }
        Path other = Files.writeString(dir.resolve("other"), "o".repeat(32));
        ClusterKey stranger =
                ClusterKey.read(Files.setPosixFilePermissions(other, PosixFilePermissions.fromString("rw-------")));
        try (InputStream in = new PublishedPrefetches(stranger, registry, traces).open(packed)) {
            assertThatThrownBy(() -> in.readAllBytes()).hasMessageContaining("not sealed with this cluster's key");
        }
        traces.addPrefetch(packed, "nonsense");
        assertThat(found.open(packed)).isNull();
    }

    @Test
    void aRepositoryThatRefusesIsLeftAlone() throws Exception {
        Registry registry = new Registry(true);
        registry.denies = true;
        try (TestNode first =
                        new TestNode(dir.resolve("1"), withImage(new StoredBlobs()), List.of(published(registry)));
                TestNode second = new TestNode(dir.resolve("2"), withoutBlobs(), List.of(published(registry)))) {
            first.pull();
            assertThat(registry.denied.await(60, TimeUnit.SECONDS)).isTrue();
            assertThatThrownBy(second::pull).hasMessageContaining("there is no blob here");
        }
    }

    @Test
    void otherArtifactsOfAnImageKeepTheirPlaceInTheTag() throws Exception {
        Registry registry = new Registry(false);
        String signature = "{\"manifests\":[{\"mediaType\":\"m\",\"artifactType\":\"a/signature\",\"digest\":\"sha256:"
                + "5".repeat(64) + "\",\"size\":7,\"annotations\":{\"by\":\"us\"}}]}";
        registry.tag = signature.getBytes(StandardCharsets.UTF_8);
        try (TestNode first =
                new TestNode(dir.resolve("1"), withImage(new StoredBlobs()), List.of(published(registry)))) {
            first.pull();
            assertThat(registry.published.await(60, TimeUnit.SECONDS)).isTrue();
            assertThat(registry.tag)
                    .asString()
                    .contains("\"artifactType\":\"a/signature\"", "\"by\":\"us\"", IndexArtifact.TYPE);
        }
    }
}

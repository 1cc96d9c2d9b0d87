package dev.coldstart.snapshotter.rootfs;

import static dev.coldstart.snapshotter.rootfs.TestNode.CHAIN;
import static dev.coldstart.snapshotter.rootfs.TestNode.LAYERS;
import static dev.coldstart.snapshotter.rootfs.TestNode.TARS;
import static dev.coldstart.snapshotter.rootfs.TestNode.withImage;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.content.StoredBlobs;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RemoteLayersTest {
    @TempDir
    Path dir;

    @Test
    void allLayersOfAnImageAreReadAtTheSameTime() throws Exception {
        CountDownLatch reading = new CountDownLatch(LAYERS.size());
        StoredBlobs content = new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                reading.countDown();
                try {
                    if (!reading.await(60, TimeUnit.SECONDS)) {
                        throw new IOException("the other layers are not being read");
                    }
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
                return super.stream(namespace, digest);
            }
        };
        try (TestNode node = new TestNode(dir, withImage(content), List.of())) {
            node.pull();
        }
    }

    @Test
    void aLayerThatCouldNotBeReadAheadIsReadWhenItIsAskedFor() throws Exception {
        Set<Digest> failed = ConcurrentHashMap.newKeySet();
        StoredBlobs content = new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                if (!digest.equals(LAYERS.getFirst()) && failed.add(digest)) {
                    throw new IOException("not now");
                }
                return super.stream(namespace, digest);
            }
        };
        try (TestNode node = new TestNode(dir, withImage(content), List.of())) {
            var _ = node.layers().prepare("default", "", CHAIN.getFirst(), Map.of());
            while (failed.size() < 2) {
                Thread.sleep(1);
            }
            node.pull();
        }
    }

    @Test
    void anIndexFromElsewhereSparesThePass() throws Exception {
        StoredBlobs content = new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                throw new IOException("the blob is not needed");
            }
        };
        IndexOrigin broken = new IndexOrigin() {
            @Override
            public String name() {
                return "a broken origin";
            }

            @Override
            public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
                throw new IOException("broken");
            }
        };
        IndexOrigin other = new IndexOrigin() {
            @Override
            public String name() {
                return "another node";
            }

            @Override
            public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
                byte[] tar = TARS.get(LAYERS.indexOf(layer.layer()));
                var _ = LayerIndexer.index(
                        new ByteArrayInputStream(tar),
                        layer.layer(),
                        layer.diffId(),
                        index,
                        tree,
                        null,
                        ProgressListener.NONE);
                return true;
            }
        };
        try (TestNode node = new TestNode(dir, withImage(content), List.of(broken, other))) {
            node.pull();
        }
    }
}

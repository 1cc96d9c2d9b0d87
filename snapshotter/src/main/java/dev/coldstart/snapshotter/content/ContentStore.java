package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** containerd's content store, as far as we read it. All calls are bounded in time. */
public interface ContentStore {
    /** A blob and what containerd noted about it. */
    record Blob(Digest digest, long size, long createdSeconds, Map<String, String> labels) {}

    /**
     * The blobs of a namespace that a filter accepts.
     *
     * @param filter in containerd's filter language; empty for all
     */
    List<Blob> list(String namespace, String filter) throws IOException;

    /** What is known of a blob; null if it is not there. */
    @Nullable
    Blob info(String namespace, Digest digest) throws IOException;

    /** The bytes of a small blob. */
    byte[] read(String namespace, Digest digest, int most) throws IOException;

    /** The bytes of a blob of any size. */
    InputStream stream(String namespace, Digest digest) throws IOException;

    /** The names of all images of a namespace. */
    List<String> imageNames(String namespace) throws IOException;
}

package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A content store in memory. */
public class StoredBlobs implements ContentStore {
    private final Map<Digest, Blob> blobs = new HashMap<>();
    private final Map<Digest, byte[]> bytes = new HashMap<>();
    private final List<String> names = new ArrayList<>();

    /** The digest of these bytes. */
    public static Digest digest(byte[] of) {
        try {
            return Digest.of(MessageDigest.getInstance("SHA-256").digest(of));
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    /** The digest of this text. */
    public static Digest digest(String of) {
        return digest(of.getBytes(StandardCharsets.UTF_8));
    }

    /** Stores a blob. */
    public Digest add(byte[] blob, long created, Map<String, String> labels) {
        Digest digest = digest(blob);
        blobs.put(digest, new Blob(digest, blob.length, created, labels));
        bytes.put(digest, blob);
        return digest;
    }

    /** Stores a text as a blob. */
    public Digest add(String text, long created, Map<String, String> labels) {
        return add(text.getBytes(StandardCharsets.UTF_8), created, labels);
    }

    @Override
    public List<Blob> list(String namespace, String filter) {
        return blobs.values().stream()
                .filter(blob -> filter.isEmpty() || blob.labels().containsKey("containerd.io/gc.ref.content.config"))
                .toList();
    }

    @Override
    public @Nullable Blob info(String namespace, Digest digest) {
        return blobs.get(digest);
    }

    @Override
    public byte[] read(String namespace, Digest digest, int most) throws IOException {
        byte[] found = bytes.get(digest);
        if (found == null) {
            throw new IOException("not there");
        }
        return found;
    }

    @Override
    public InputStream stream(String namespace, Digest digest) throws IOException {
        return new ByteArrayInputStream(read(namespace, digest, Integer.MAX_VALUE));
    }

    @Override
    public List<String> imageNames(String namespace) {
        return names;
    }
}

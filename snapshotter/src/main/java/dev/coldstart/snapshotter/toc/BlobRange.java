package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.fetch.BlobSource;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;

/** Reads small parts of a blob whole. */
final class BlobRange {
    private static final int ATTEMPTS = 3;

    private BlobRange() {}

    /**
     * The blob's bytes from {@code from} to {@code to}, not verified.
     *
     * @throws EOFException if there are fewer
     */
    static byte[] read(BlobSource source, Digest layer, long from, long to) throws IOException {
        IOException last = null;
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            try (InputStream in = source.open(layer, from, to)) {
                byte[] bytes = in.readNBytes((int) (to - from));
                if (bytes.length == to - from) {
                    return bytes;
                }
                last = new EOFException("the registry sent " + bytes.length + " bytes from byte " + from + " of layer "
                        + layer + ", not " + (to - from));
            } catch (dev.coldstart.snapshotter.registry.RegistryException e) {
                // The client has tried as often as makes sense.
                throw e;
            } catch (IOException e) {
                last = e;
            }
        }
        throw last == null ? new IOException("layer " + layer + " cannot be read") : last;
    }
}

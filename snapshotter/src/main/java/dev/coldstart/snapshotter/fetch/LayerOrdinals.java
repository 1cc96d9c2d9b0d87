package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;

/**
 * Numbers for layers, durable, because the kernel remembers them in the place of files and asks whichever process serves
 * next. A text file with one digest a line; a layer's number is its line's, from 1 up, and is never given to another.
 */
public final class LayerOrdinals implements AutoCloseable {
    private final FileChannel file;
    private final Map<Digest, Integer> numbers = new HashMap<>();

    private LayerOrdinals(FileChannel file) {
        this.file = file;
    }

    /** Opens the file, or makes it. A last line that was not written whole is dropped. */
    public static LayerOrdinals open(Path path) throws IOException {
        FileChannel file =
                FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            LayerOrdinals ordinals = new LayerOrdinals(file);
            String text = Files.readString(path, StandardCharsets.US_ASCII);
            int whole = text.lastIndexOf('\n') + 1;
            for (String line : text.substring(0, whole).lines().toList()) {
                if (ordinals.numbers.put(Digest.parse(line), ordinals.numbers.size() + 1) != null) {
                    throw new IllegalArgumentException(line + " stands in it twice");
                }
            }
            file.truncate(whole);
            return ordinals;
        } catch (IOException e) {
            file.close();
            throw e;
        } catch (IllegalArgumentException e) {
            file.close();
            throw new IOException(
                    path + " is damaged (" + e.getMessage()
                            + "); delete it when no container runs, and start coldstart-snapshotter again",
                    e);
        }
    }

    /** The layer's number, which is on disk when this returns. */
    public synchronized int of(Digest layer) throws IOException {
        Integer known = numbers.get(layer);
        if (known != null) {
            return known;
        }
        ByteBuffer line = ByteBuffer.wrap((layer + "\n").getBytes(StandardCharsets.US_ASCII));
        long end = file.size();
        try {
            while (line.hasRemaining()) {
                file.write(line, end + line.position());
            }
            file.force(true);
        } catch (IOException e) {
            file.truncate(end);
            throw e;
        }
        numbers.put(layer, numbers.size() + 1);
        return numbers.size();
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}

package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Keeps objects in a directory, laid out as a tier. */
record ObjectDirectory(Path root) implements ObjectSink {
    @Override
    public Writer begin(long size) throws IOException {
        Path file = Files.createTempFile(root, "new", "");
        OutputStream out = Files.newOutputStream(file);
        return new Writer() {
            @Override
            public void write(ByteBuffer piece) throws IOException {
                byte[] copy = new byte[piece.remaining()];
                piece.get(copy);
                out.write(copy);
            }

            @Override
            public void complete(ObjectName name) throws IOException {
                out.close();
                Path target = root.resolve(name.path());
                Files.createDirectories(target.getParent());
                Files.move(file, target, StandardCopyOption.REPLACE_EXISTING);
            }

            @Override
            public void abort() {
                throw new AssertionError("an object was aborted");
            }
        };
    }
}

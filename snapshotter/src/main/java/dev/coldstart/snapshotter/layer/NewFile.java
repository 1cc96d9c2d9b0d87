package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** A file that appears under its name only when it is whole and on disk; otherwise nothing of it stays. */
public final class NewFile implements AutoCloseable {
    private final Path target;
    private final Path temporary;
    private final FileChannel channel;
    private boolean committed;

    /** @param target replaced if it exists; its directory has to exist */
    public NewFile(Path target) throws IOException {
        this.target = target;
        temporary = Files.createTempFile(directory(target), ".new", "");
        channel = FileChannel.open(temporary, StandardOpenOption.READ, StandardOpenOption.WRITE);
    }

    /** The directory a file lies in. */
    static Path directory(Path file) {
        Path parent = file.toAbsolutePath().getParent();
        if (parent == null) {
            throw new IllegalArgumentException(file + " is not the path of a file");
        }
        return parent;
    }

    /** To write it. */
    public FileChannel channel() {
        return channel;
    }

    /** Where the bytes are until they have their name. */
    public Path unfinished() {
        return temporary;
    }

    /** Brings the bytes to disk, then the name. */
    public void commit() throws IOException {
        channel.force(true);
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        committed = true;
        try (FileChannel directory = FileChannel.open(directory(target), StandardOpenOption.READ)) {
            directory.force(true);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
        if (!committed) {
            Files.deleteIfExists(temporary);
        }
    }
}

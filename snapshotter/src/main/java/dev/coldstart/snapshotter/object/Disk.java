package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Durability;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** Every change that the store makes on disk goes through here, so that a test can stop between any two of them. */
class Disk {
    OpenFile unnamed(Path directory, int mode) throws LinuxException {
        return OpenFile.unnamed(directory, mode);
    }

    OpenFile forUpdate(Path path) throws LinuxException {
        return OpenFile.forUpdate(path);
    }

    void write(CallState state, OpenFile file, MemorySegment bytes, long offset) throws LinuxException {
        file.write(state, bytes, offset);
    }

    void truncate(CallState state, OpenFile file, long length) throws LinuxException {
        file.truncate(state, length);
    }

    void punchHole(CallState state, OpenFile file, long offset, long length) throws LinuxException {
        file.punchHole(state, offset, length);
    }

    void sync(CallState state, OpenFile file) throws LinuxException {
        file.sync(state);
    }

    /** Returns false if the name is taken. */
    boolean link(CallState state, OpenFile file, Path name) throws LinuxException {
        return file.link(state, name);
    }

    void rename(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    /** Does nothing if there is no such file. */
    void delete(Path path) throws IOException {
        Files.deleteIfExists(path);
    }

    void syncFileSystem(Path path) throws LinuxException {
        Durability.syncFileSystem(path);
    }

    /** The file has this text afterwards, also after a power loss; before that it has the text it had. */
    void replace(Path file, String text) throws IOException {
        Path fresh = file.resolveSibling(file.getFileName() + ".new");
        try (FileChannel channel = FileChannel.open(
                fresh, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining()) {
                var _ = channel.write(bytes);
            }
            channel.force(true);
        }
        rename(fresh, file);
        Durability.syncDirectory(file.resolveSibling("."));
    }
}

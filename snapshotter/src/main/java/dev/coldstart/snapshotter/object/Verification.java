package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.Sha256;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;

/** Compares a file's bytes with the name they should have. */
final class Verification {
    private static final int CHUNK = 256 << 10;

    /** Sees the bytes in their order; slows the reading down, or ends it by what it throws. */
    @FunctionalInterface
    interface Reader {
        void read(MemorySegment bytes) throws IOException;

        Reader NONE = bytes -> {};
    }

    private Verification() {}

    /**
     * Whether the object's name is the SHA-256 of the file's bytes; of a derived name always, as its bytes were proven by
     * their spans before they were written and nothing here could prove them again.
     *
     * @param most bytes that are looked at; what comes behind them is not the object's
     */
    static boolean isSound(CallState state, OpenFile file, ObjectName name, long most, Reader reader)
            throws IOException {
        if (name.isDerived()) {
            return true;
        }
        MessageDigest sha256 = Sha256.digest();
        byte[] heap = new byte[CHUNK];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment chunk = arena.allocate(CHUNK);
            long offset = 0;
            while (offset < most) {
                long n = file.read(state, chunk, Math.min(CHUNK, most - offset), offset);
                if (n == -Errno.EIO) {
                    return false;
                }
                if (n < 0) {
                    throw new IOException("cannot read object " + name + ": " + Errno.describe((int) -n));
                }
                if (n == 0) {
                    break;
                }
                MemorySegment.copy(chunk, ValueLayout.JAVA_BYTE, 0, heap, 0, (int) n);
                sha256.update(heap, 0, (int) n);
                offset += n;
                reader.read(chunk.asSlice(0, n));
            }
        }
        return ObjectName.of(sha256.digest()).equals(name);
    }
}

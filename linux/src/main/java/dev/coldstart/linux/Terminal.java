package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** A pseudo terminal's size. */
public final class Terminal {
    private static final int TIOCSWINSZ = 0x5414;
    private static final MethodHandle IOCTL = Words.function("ioctl");

    private Terminal() {}

    /** Sets the size, in characters; the foreground process group gets SIGWINCH. */
    public static void resize(Descriptor master, int columns, int rows) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            // struct winsize { unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel; }
            MemorySegment size = arena.allocate(8, 2);
            size.setAtIndex(JAVA_SHORT, 0, (short) rows);
            size.setAtIndex(JAVA_SHORT, 1, (short) columns);
            long result = Words.call(IOCTL, capture, master.number(), TIOCSWINSZ, size.address());
            Words.check(result, capture, "resize a terminal to " + columns + "x" + rows);
        }
    }
}

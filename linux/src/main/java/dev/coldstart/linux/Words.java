package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * Functions of libc whose arguments and result are integers and pointers, all called through one shape of seven words.
 *
 * <p>Linking the first handle of a shape costs tens of milliseconds and every further shape a few more, which a
 * container's start would pay; further functions of the same shape are nearly free. In the C calling conventions of
 * Linux on x86-64 and arm64 a callee ignores argument registers it does not use and the upper half of those it reads as
 * {@code int}, and variadic arguments travel like others, so the shape fits them all.
 */
final class Words {
    private static final FunctionDescriptor SHAPE = FunctionDescriptor.of(
            JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);

    private Words() {}

    static MethodHandle function(String name) {
        return Native.libc(name, SHAPE);
    }

    static long call(MethodHandle function, MemorySegment capture, long a, long b, long c, long d, long e, long f) {
        try {
            return (long) function.invokeExact(capture, a, b, c, d, e, f, 0L);
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
    }

    static long call(MethodHandle function, MemorySegment capture, long a, long b, long c) {
        return call(function, capture, a, b, c, 0, 0, 0);
    }

    static long call(MethodHandle function, MemorySegment capture, long a, long b) {
        return call(function, capture, a, b, 0, 0, 0, 0);
    }

    static long call(MethodHandle function, MemorySegment capture, long a) {
        return call(function, capture, a, 0, 0, 0, 0, 0);
    }

    /** For a function that returns an {@code int} which is negative on failure: the result, or the errno thrown. */
    static int check(long result, MemorySegment capture, String attempted) throws LinuxException {
        int value = (int) result;
        if (value < 0) {
            throw new LinuxException(attempted, Native.errno(capture));
        }
        return value;
    }

    /** The address of a C string that lives as long as the arena. */
    static long string(Arena arena, String value) {
        return arena.allocateFrom(value).address();
    }

    /** The same of a path, whatever bytes it has. */
    static long path(Arena arena, Path path) {
        return PathBytes.of(arena, path).address();
    }
}

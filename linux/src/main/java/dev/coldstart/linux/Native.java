package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

/**
 * How this package calls C. Each facility keeps its handles in {@code static final} fields of its own class, so that
 * they are linked when that facility is first used and not at start-up (linking a handle costs milliseconds).
 */
final class Native {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final StructLayout CAPTURE = Linker.Option.captureStateLayout();

    private Native() {}

    /**
     * A function of libc that reports errors through errno. The handle takes the segment from
     * {@link #capture(Arena)} as its first argument.
     */
    static MethodHandle libc(String name, FunctionDescriptor descriptor, Linker.Option... options) {
        Linker.Option[] all = new Linker.Option[options.length + 1];
        System.arraycopy(options, 0, all, 0, options.length);
        all[options.length] = Linker.Option.captureCallState("errno");
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), descriptor, all);
    }

    /** A function of a shared library that does not use errno. */
    static MethodHandle library(SymbolLookup library, String name, FunctionDescriptor descriptor) {
        return LINKER.downcallHandle(library.findOrThrow(name), descriptor);
    }

    /** Room for the errno of calls made with {@link #libc}; one per thread that calls. */
    static MemorySegment capture(Arena arena) {
        return arena.allocate(CAPTURE);
    }

    /** The errno that the last call with this segment left. */
    static int errno(MemorySegment capture) {
        return (int) Errors.ERRNO.get(capture, 0L);
    }

    /** What makes it takes milliseconds, and most starts meet no error. */
    private static final class Errors {
        static final VarHandle ERRNO = CAPTURE.varHandle(MemoryLayout.PathElement.groupElement("errno"));

        private Errors() {}
    }

    /** What {@link MethodHandle#invokeExact} declares but a downcall never throws. */
    static AssertionError unexpected(Throwable thrown) {
        return new AssertionError("a native call threw", thrown);
    }
}

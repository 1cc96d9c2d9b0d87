package dev.coldstart.snapshotter.wholetree;

import java.util.ArrayList;
import java.util.List;
import jnr.ffi.Memory;
import jnr.ffi.Runtime;
import jnr.ffi.Struct;
import ru.serce.jnrfuse.struct.FuseFileInfo;
import ru.serce.jnrfuse.struct.FuseOperations;

/** libfuse 2's {@code struct fuse_operations}, with functions of the shapes of {@link Callbacks}. Lives as long as it is used. */
final class Operations extends FuseOperations {
    private static final int INFO_BYTES = 64;
    /** {@code flag_nullpath_ok} and {@code flag_nopath}: operations on what is open need no path. */
    private static final byte NO_PATHS = 3;

    /** What native code calls is collected unless it is kept here. */
    private final List<Object> functions = new ArrayList<>();

    Operations() {
        super(Runtime.getSystemRuntime());
        // jnr-fuse has four bytes where C has bits of one word.
        Struct.getMemory(this).putByte(flag_nullpath_ok.offset(), NO_PATHS);
    }

    <T> void set(Func<?> place, Class<T> shape, T function) {
        functions.add(function);
        Struct.getMemory(this)
                .putPointer(place.offset(), getRuntime().getClosureManager().getClosurePointer(shape, function));
    }

    /** Where {@code struct fuse_file_info} has the number of what is open. */
    static long handleOffset() {
        return FuseFileInfo.of(Memory.allocateDirect(Runtime.getSystemRuntime(), INFO_BYTES))
                .fh
                .offset();
    }
}

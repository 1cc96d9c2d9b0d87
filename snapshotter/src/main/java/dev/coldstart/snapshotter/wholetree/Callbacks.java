package dev.coldstart.snapshotter.wholetree;

import jnr.ffi.Pointer;
import jnr.ffi.annotations.Delegate;
import jnr.ffi.types.off_t;
import jnr.ffi.types.size_t;

/**
 * The functions of libfuse 2's {@code struct fuse_operations} that we have, by their shapes (fuse.h, version 26). A path
 * is a pointer: jnr-fuse's own interfaces have strings, which jnr-ffi decodes by the JVM's default encoding, UTF-8, and a
 * name that is no UTF-8 then fails before we see it. Public, because classes made at run time implement them.
 */
public final class Callbacks {
    private Callbacks() {}

    /** {@code getattr}, {@code open}, {@code opendir} and {@code release}. */
    public interface OnPath {
        @Delegate
        int call(Pointer path, Pointer struct);
    }

    /** {@code readlink} and {@code listxattr}. */
    public interface Fill {
        @Delegate
        int call(Pointer path, Pointer buffer, @size_t long size);
    }

    /** {@code getxattr}. */
    public interface GetXattr {
        @Delegate
        int call(Pointer path, Pointer name, Pointer value, @size_t long size);
    }

    /** {@code read}. */
    public interface Read {
        @Delegate
        int call(Pointer path, Pointer buffer, @size_t long size, @off_t long offset, Pointer info);
    }

    /** {@code readdir}. */
    public interface ReadDirectory {
        @Delegate
        int call(Pointer path, Pointer buffer, Pointer filler, @off_t long offset, Pointer info);
    }
}

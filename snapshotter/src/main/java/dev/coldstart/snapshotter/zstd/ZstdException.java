package dev.coldstart.snapshotter.zstd;

import java.io.IOException;

/** Data that is not Zstandard, is damaged, or needs what we do not support. The message says which, without a place. */
public final class ZstdException extends IOException {
    private static final long serialVersionUID = 1;

    ZstdException(String message) {
        super(message);
    }
}

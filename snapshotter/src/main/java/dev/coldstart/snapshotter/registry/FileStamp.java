package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import org.jspecify.annotations.Nullable;

/** By what a changed file is recognised: also one that was replaced by rename within a clock tick. */
record FileStamp(
        @Nullable FileTime modified, long size, @Nullable Object inode) {
    private static final FileStamp ABSENT = new FileStamp(null, -1, null);

    /** Of a file, also of one that is not there or cannot be looked at. */
    static FileStamp of(Path file) {
        try {
            BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
            return new FileStamp(attributes.lastModifiedTime(), attributes.size(), attributes.fileKey());
        } catch (IOException e) {
            return ABSENT;
        }
    }

    boolean exists() {
        return modified != null;
    }
}

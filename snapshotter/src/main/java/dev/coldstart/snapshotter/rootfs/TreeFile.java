package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.LoopDevice;
import dev.coldstart.linux.Mount;
import java.nio.file.Path;

/** How a tree's file becomes a file system. */
final class TreeFile {
    private static final long FLAGS = Mount.MS_RDONLY | Mount.MS_NODEV | Mount.MS_NOATIME;

    private TreeFile() {}

    /**
     * Mounts the file itself or, where the kernel wants a block device (below 6.12, or without
     * CONFIG_EROFS_FS_BACKED_BY_FILE), a loop device that vanishes with the mount.
     */
    static void mount(Path file, Path target) throws LinuxException {
        try {
            Mount.mount(file.toString(), target.toString(), "erofs", FLAGS, null);
        } catch (LinuxException e) {
            // lookup_bdev() of block/bdev.c, which mounting by device begins with.
            if (e.errno() != Errno.ENOTBLK) {
                throw e;
            }
            mountByDevice(file, target);
        }
    }

    static void mountByDevice(Path file, Path target) throws LinuxException {
        try (LoopDevice device = LoopDevice.attach(file)) {
            Mount.mount(device.path(), target.toString(), "erofs", FLAGS, null);
        }
    }
}

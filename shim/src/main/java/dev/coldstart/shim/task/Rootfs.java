package dev.coldstart.shim.task;

import static java.lang.System.Logger.Level.WARNING;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The root file system of a container: the mounts containerd asks for, on {@code rootfs/} of its bundle. */
final class Rootfs {
    private static final System.Logger LOG = System.getLogger(Rootfs.class.getName());
    /** mount(2) copies one page of options, the last byte of which ends them. */
    private static final int MAX_OPTIONS_BYTES = 4095;

    private final Path directory;

    Rootfs(Path bundle) {
        directory = bundle.resolve("rootfs");
    }

    /** Mounts all in order, or none. */
    void mount(List<dev.coldstart.proto.containerd.types.Mount> mounts) throws IOException {
        if (mounts.isEmpty()) {
            return;
        }
        Files.createDirectories(directory);
        try {
            for (dev.coldstart.proto.containerd.types.Mount mount : mounts) {
                String data = Mount.Options.parse(mount.getOptionsList()).data();
                if (data.getBytes(StandardCharsets.UTF_8).length > MAX_OPTIONS_BYTES) {
                    throw new IOException("The root file system's " + mount.getType() + " options take "
                            + data.length() + " bytes, and mount takes " + MAX_OPTIONS_BYTES
                            + "; an image with fewer layers fits.");
                }
                Mount.mount(mount.getType(), mount.getSource(), target(mount), mount.getOptionsList());
            }
        } catch (IOException e) {
            unmount();
            throw e;
        }
    }

    private String target(dev.coldstart.proto.containerd.types.Mount mount) throws IOException {
        if (mount.getTarget().isEmpty()) {
            return directory.toString();
        }
        Path inside =
                directory.resolve(mount.getTarget().replaceFirst("^/+", "")).normalize();
        if (!inside.startsWith(directory)) {
            throw new IOException("The mount target " + mount.getTarget() + " is outside of the root file system.");
        }
        return inside.toString();
    }

    /** Unmounts everything on and under the directory, even what is in use. Idempotent. */
    void unmount() {
        try {
            List<MountTable.Entry> below = MountTable.read().stream()
                    .filter(mount -> Path.of(mount.mountPoint()).startsWith(directory))
                    .toList();
            for (MountTable.Entry mount : below.reversed()) {
                Mount.umount(mount.mountPoint(), Mount.MNT_DETACH | Mount.UMOUNT_NOFOLLOW);
            }
        } catch (LinuxException e) {
            if (e.errno() != Errno.EINVAL && e.errno() != Errno.ENOENT) {
                LOG.log(WARNING, "The root file system {0} stays mounted: {1}", directory, e.getMessage());
            }
        } catch (IOException e) {
            LOG.log(WARNING, "The root file system {0} stays mounted: {1}", directory, e.getMessage());
        }
    }
}

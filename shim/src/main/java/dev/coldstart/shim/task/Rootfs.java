package dev.coldstart.shim.task;

import static java.lang.System.Logger.Level.WARNING;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.IdMapping;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.LoopDevice;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The root file system of a container: the mounts containerd asks for, on {@code rootfs/} of its bundle. */
final class Rootfs {
    private static final System.Logger LOG = new LateLogger(Rootfs.class);
    private static final String UIDS = "uidmap=";
    private static final String GIDS = "gidmap=";
    private static final String LOOP = "loop";

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
                mount(mount, target(mount));
            }
        } catch (IOException e) {
            unmount();
            throw e;
        }
    }

    /** By containerd's rules for options that are neither the kernel's nor a file system's. */
    private static void mount(dev.coldstart.proto.containerd.types.Mount mount, String target) throws IOException {
        List<String> options = mount.getOptionsList().stream()
                .filter(option -> !option.startsWith(UIDS) && !option.startsWith(GIDS) && !option.equals(LOOP))
                .toList();
        @Nullable IdMapping mapping = mapping(mount.getOptionsList());
        if (mount.getType().equals("overlay")) {
            try (LowerDirectories lower = LowerDirectories.prepare(options, mapping)) {
                Mount.mount(mount.getType(), mount.getSource(), target, lower.options());
            }
            return;
        }
        if (mount.getOptionsList().contains(LOOP)) {
            if (!options.contains("ro")) {
                throw new IOException("The root file system " + mount.getSource()
                        + " is a file to be mounted for writing, which this shim does not do.");
            }
            try (LoopDevice loop = LoopDevice.attach(Path.of(mount.getSource()))) {
                Mount.mount(mount.getType(), loop.path(), target, options);
            }
        } else {
            Mount.mount(mount.getType(), mount.getSource(), target, options);
        }
        if (mapping != null) {
            mapping.mount(Path.of(target), Path.of(target));
        }
    }

    /** The owners that the container's user namespace has; null for none. */
    private static @Nullable IdMapping mapping(List<String> options) throws IOException {
        String uids = value(options, UIDS);
        String gids = value(options, GIDS);
        if (uids.isEmpty() || gids.isEmpty()) {
            return null;
        }
        try {
            return IdMapping.parse(uids, gids);
        } catch (IllegalArgumentException e) {
            throw new IOException("The owners of the root file system cannot be mapped: " + e.getMessage() + ".", e);
        }
    }

    private static String value(List<String> options, String name) {
        return options.stream()
                .filter(option -> option.startsWith(name))
                .map(option -> option.substring(name.length()))
                .findFirst()
                .orElse("");
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

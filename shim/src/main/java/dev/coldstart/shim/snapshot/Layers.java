package dev.coldstart.shim.snapshot;

import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.types.Mount;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The layers of an overlay root file system.
 *
 * @param lowerdirs lower layers, topmost first, without data-only ones
 * @param upperdir the writable layer
 */
public record Layers(List<Path> lowerdirs, Path upperdir) {
    private static final Pattern TREE = Pattern.compile(".*/trees/([0-9a-f]{64})\\.erofs");

    private static final Pattern IMPLIED = Pattern.compile(".*/implied/\\d+");

    /**
     * Takes the overlay's options apart.
     *
     * @throws IOException with one sentence if there is no overlay with a writable layer among the mounts
     */
    public static Layers of(List<Mount> rootfs) throws IOException {
        for (Mount mount : rootfs) {
            @Nullable String lower = option(mount, "lowerdir=");
            @Nullable String upper = option(mount, "upperdir=");
            if (mount.getType().equals("overlay") && lower != null && upper != null) {
                int data = lower.indexOf("::");
                String[] paths = (data < 0 ? lower : lower.substring(0, data)).split(":", -1);
                return new Layers(List.of(paths).stream().map(Path::of).toList(), Path.of(upper));
            }
        }
        throw new IOException("The root file system is no overlay with a writable layer.");
    }

    private static @Nullable String option(Mount mount, String prefix) {
        for (String option : mount.getOptionsList()) {
            if (option.startsWith(prefix)) {
                return option.substring(prefix.length());
            }
        }
        return null;
    }

    /**
     * The digests of the layers, topmost first: a lower layer made by coldstart's snapshotter is the mount of an image
     * file that has the layer's digest as its name.
     *
     * @throws IOException with one sentence if a layer is not coldstart's
     */
    public List<String> digests(List<MountTable.Entry> mounts) throws IOException {
        List<String> digests = new ArrayList<>();
        for (Path lower : lowerdirs) {
            // Follows from the layers below it.
            if (!IMPLIED.matcher(lower.toString()).matches()) {
                digests.add(digest(lower.toString(), mounts));
            }
        }
        return digests;
    }

    private static String digest(String lower, List<MountTable.Entry> mounts) throws IOException {
        for (MountTable.Entry mount : mounts) {
            if (mount.mountPoint().equals(lower)) {
                Matcher tree = TREE.matcher(mount.image());
                if (tree.matches()) {
                    return "sha256:" + tree.group(1);
                }
            }
        }
        throw new IOException("The image's layer at " + lower
                + " does not come from the snapshotter \"coldstart\"; snapshots need it.");
    }
}

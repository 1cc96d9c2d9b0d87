package dev.coldstart.restore;

import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.restore.store.StoredSnapshot;
import java.util.ArrayList;
import java.util.List;

/**
 * Puts a snapshot's writable layer back: its {@code upper/} becomes the topmost lower layer of the new container's
 * overlay, under a fresh writable layer. No file is copied.
 */
public final class WritableLayer {
    private static final int PAGE = 4096;

    private WritableLayer() {}

    /**
     * Inserts the snapshot's writable layer.
     *
     * @param rootfs the mounts of a new container's root file system, as its snapshotter returned them
     * @return the same with the snapshot's writable layer in the overlay
     * @throws RestoreException if there is no overlay with a writable layer among them, or its options would no longer
     *     fit into the one page that mount(2) takes
     */
    public static List<Mount> under(List<Mount> rootfs, StoredSnapshot snapshot) throws RestoreException {
        String upper = snapshot.upper().toString();
        if (upper.indexOf(':') >= 0 || upper.indexOf(',') >= 0 || upper.indexOf('\\') >= 0) {
            throw new RestoreException("The path " + upper + " cannot stand in overlay options; choose another root.");
        }
        List<Mount> result = new ArrayList<>(rootfs.size());
        boolean found = false;
        for (Mount mount : rootfs) {
            if (found || !mount.getType().equals("overlay") || !hasUpperdir(mount)) {
                result.add(mount);
                continue;
            }
            found = true;
            result.add(withLowerdir(mount, upper));
        }
        if (!found) {
            throw new RestoreException(
                    "The root file system is no overlay with a writable layer, so the snapshot's files have no place in it.");
        }
        return List.copyOf(result);
    }

    private static boolean hasUpperdir(Mount mount) {
        return mount.getOptionsList().stream().anyMatch(option -> option.startsWith("upperdir="));
    }

    private static Mount withLowerdir(Mount mount, String upper) throws RestoreException {
        Mount.Builder changed = mount.toBuilder().clearOptions();
        boolean placed = false;
        int length = 0;
        for (String option : mount.getOptionsList()) {
            String kept = option;
            if (option.startsWith("lowerdir=")) {
                kept = "lowerdir=" + upper + ":" + option.substring("lowerdir=".length());
                placed = true;
            }
            changed.addOptions(kept);
            length += kept.length() + 1;
        }
        if (!placed) {
            throw new RestoreException("The overlay of the root file system has no lowerdir option.");
        }
        if (length > PAGE) {
            throw new RestoreException("With the snapshot's writable layer the overlay's options take " + length
                    + " bytes, more than the " + PAGE + " that mount takes.");
        }
        return changed.build();
    }
}

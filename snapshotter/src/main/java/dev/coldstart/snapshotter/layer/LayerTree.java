package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.tree.Attributes;
import dev.coldstart.snapshotter.tree.Content;
import dev.coldstart.snapshotter.tree.Tree;
import dev.coldstart.snapshotter.tree.TreeException;
import dev.coldstart.snapshotter.tree.Xattr;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Puts a layer's entries into a tree, wherever they are listed. Whiteouts become what overlayfs takes for them: {@code
 * .wh.NAME} a character device 0:0, {@code .wh..wh..opq} the attribute {@code trusted.overlay.opaque}; other names that
 * start with {@code .wh..wh.} are dropped. {@code trusted.overlay.*} of the layer itself is never taken over, nor are
 * attributes in namespaces that EROFS does not have.
 */
final class LayerTree {
    private static final String WHITEOUT = ".wh.";
    private static final String WHITEOUT_META = ".wh..wh.";
    private static final String OPAQUE = ".wh..wh..opq";
    private static final String OVERLAY = "trusted.overlay.";

    /** The bytes of a regular file. */
    @FunctionalInterface
    interface Regular {
        Content content() throws IOException;
    }

    final Tree tree = new Tree();

    /** Whether this is the name of a whiteout, which was put then. */
    boolean whiteout(String path) throws TreeException {
        int end = path.length();
        while (end > 0 && path.charAt(end - 1) == '/') {
            end--;
        }
        int slash = path.lastIndexOf('/', end - 1);
        String name = path.substring(slash + 1, end);
        if (!name.startsWith(WHITEOUT)) {
            return false;
        }
        String directory = path.substring(0, slash + 1);
        if (name.equals(OPAQUE)) {
            tree.opaque(directory);
        } else if (!name.startsWith(WHITEOUT_META)) {
            tree.whiteout(directory, name.substring(WHITEOUT.length()));
        }
        return true;
    }

    /**
     * Puts an entry that is no whiteout.
     *
     * @param type as in a tar; what has no meaning of its own is a regular file
     * @param major of a device
     * @param minor of a device
     * @param regular asked for a regular file's bytes only
     */
    void put(char type, String path, String link, int major, int minor, Attributes attributes, Regular regular)
            throws IOException {
        if (type == '1') {
            tree.link(path, link, attributes);
            return;
        }
        Content content = switch (type) {
            case '2' -> new Content.Symlink(link);
            case '3' -> new Content.Device(false, major, minor);
            case '4' -> new Content.Device(true, major, minor);
            case '5' -> new Content.Directory();
            case '6' -> new Content.Fifo();
            default -> regular.content();
        };
        tree.put(path, attributes, content);
    }

    static Attributes attributes(
            int mode, int uid, int gid, long seconds, int nanos, Map<String, byte[]> extendedAttributes)
            throws TreeException {
        List<Xattr> xattrs = extendedAttributes.isEmpty() ? List.of() : new ArrayList<>();
        for (Map.Entry<String, byte[]> attribute : extendedAttributes.entrySet()) {
            Xattr xattr = Xattr.of(attribute.getKey(), attribute.getValue());
            if (xattr != null && !attribute.getKey().startsWith(OVERLAY)) {
                xattrs.add(xattr);
            }
        }
        return new Attributes(mode, uid, gid, seconds, nanos, xattrs);
    }
}

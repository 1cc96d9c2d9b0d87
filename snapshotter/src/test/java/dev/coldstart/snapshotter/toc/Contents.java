package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.CollectedObjects;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ObjectSink;
import dev.coldstart.snapshotter.layer.SpanInflater;
import dev.coldstart.snapshotter.tree.TreeNode;
import dev.coldstart.snapshotter.tree.TreeReader;
import dev.coldstart.snapshotter.tree.Xattr;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** What a layer has, as a container would see it: all attributes of all files, and their bytes. */
final class Contents {
    /** The objects of a layer, wherever they come from. */
    interface Bytes {
        byte[] get(ObjectName name) throws IOException;
    }

    /** Objects that a pass over the blob gave. */
    static final class Sink implements ObjectSink, Bytes {
        private final CollectedObjects collected = new CollectedObjects(new HashMap<>());

        @Override
        public Writer begin(long size) {
            return collected.begin(size);
        }

        @Override
        public byte[] get(ObjectName name) {
            return Objects.requireNonNull(collected.objects().get(name));
        }
    }

    private Contents() {}

    /** Objects that spans of a blob give. */
    static Bytes inflated(LayerIndex index, byte[] blob) {
        return name -> {
            int row = index.find(name);
            if (row < 0) {
                throw new IOException("the index has no object " + name);
            }
            long from = index.objectOffset(row);
            long to = from + index.objectSize(row);
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (SpanInflater inflater = new SpanInflater()) {
                for (int span = index.spanAt(from); span <= index.spanAt(to - 1); span++) {
                    byte[] range =
                            Arrays.copyOfRange(blob, (int) index.spanBlobStart(span), (int) index.spanBlobEnd(span));
                    long start = index.spanStart(span);
                    ByteBuffer out = ByteBuffer.allocateDirect((int) (index.spanEnd(span) - start));
                    inflater.inflate(index, span, ByteBuffer.wrap(range), out);
                    out.flip();
                    byte[] part = new byte[(int) (Math.min(to, index.spanEnd(span)) - Math.max(from, start))];
                    out.get((int) (Math.max(from, start) - start), part);
                    bytes.writeBytes(part);
                }
            }
            return bytes.toByteArray();
        };
    }

    /** A line for each file, by path. */
    static Map<String, String> of(Path tree, Bytes objects) throws IOException {
        Map<String, String> lines = new TreeMap<>();
        try (TreeReader reader = TreeReader.open(tree)) {
            walk(reader, reader.root(), "", objects, lines);
        }
        return lines;
    }

    /** The paths of all files. */
    static Set<String> names(Path tree) throws IOException {
        Set<String> names = new TreeSet<>();
        try (TreeReader reader = TreeReader.open(tree)) {
            names(reader, reader.root(), "", names);
        }
        return names;
    }

    private static void names(TreeReader reader, TreeNode node, String path, Set<String> names) throws IOException {
        names.add(path);
        if (node.isDirectory()) {
            for (TreeReader.Name name : reader.list(node)) {
                if (!name.name().equals(".") && !name.name().equals("..")) {
                    names(reader, reader.node(name.nid()), path + "/" + name.name(), names);
                }
            }
        }
    }

    private static void walk(TreeReader reader, TreeNode node, String path, Bytes objects, Map<String, String> lines)
            throws IOException {
        Map<String, String> xattrs = new TreeMap<>();
        for (Xattr xattr : reader.xattrs(node)) {
            String name = Objects.requireNonNull(xattr.name());
            if (!name.equals("trusted.overlay.metacopy") && !name.equals("trusted.overlay.redirect")) {
                xattrs.put(name, HexFormat.of().formatHex(xattr.value()));
            }
        }
        String content = "";
        if (node.isSymlink()) {
            content = reader.target(node);
        } else if (node.isRegular()) {
            content = HexFormat.of().formatHex(bytes(reader, node, objects));
        }
        lines.put(
                path,
                "%o %d %d:%d %d.%09d dev %d %s %s %s"
                        .formatted(
                                node.mode(),
                                node.links(),
                                node.uid(),
                                node.gid(),
                                node.seconds(),
                                node.nanos(),
                                node.device(),
                                node.isDirectory() ? "" : node.size(),
                                xattrs,
                                content));
        if (node.isDirectory()) {
            for (TreeReader.Name name : reader.list(node)) {
                if (!name.name().equals(".") && !name.name().equals("..")) {
                    walk(reader, reader.node(name.nid()), path + "/" + name.name(), objects, lines);
                }
            }
        }
    }

    private static byte[] bytes(TreeReader reader, TreeNode node, Bytes objects) throws IOException {
        String redirect = reader.redirect(node);
        if (redirect != null) {
            byte[] bytes = objects.get(ObjectName.parse(redirect.replace("/", "")));
            if (bytes.length != node.size()) {
                throw new IOException("an object has " + bytes.length + " bytes, its file " + node.size());
            }
            return bytes;
        }
        byte[] bytes = new byte[(int) node.size()];
        long done = 0;
        while (done < bytes.length) {
            done += reader.read(node, done, MemorySegment.ofArray(bytes).asSlice(done), bytes.length - done);
        }
        return bytes;
    }
}

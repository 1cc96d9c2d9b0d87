package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import java.io.IOException;
import java.nio.file.Path;

/** Where the index and the tree of a layer may come from without reading its blob. */
public interface IndexOrigin {
    /** What this is, as a noun for messages. */
    String name();

    /**
     * Gets a layer's index and tree, if they are to be had here.
     *
     * @param index the file to appear, whole or not at all, as {@link dev.coldstart.snapshotter.layer.LayerIndex} reads it
     * @param tree the file to appear before it
     * @return false if this has none for the layer; then nothing was written
     * @throws IOException if there is one that cannot be had or is unsound; the next origin is asked then
     */
    boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException;

    /**
     * This node has made a layer's index and tree itself, because no origin had them. Called with the layer locked: what
     * takes long is for another thread.
     */
    default void made(ResolvedLayer layer, RemoteLayers layers) {}
}

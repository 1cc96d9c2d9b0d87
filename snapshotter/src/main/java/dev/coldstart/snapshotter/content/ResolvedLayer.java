package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.LayerSource;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A layer that a chain ID ends with.
 *
 * @param diffId of its tar, if known
 * @param size bytes of its blob; 0 if not known
 * @param sources registries that may have it, the likeliest first; empty if nothing names one
 */
public record ResolvedLayer(Digest layer, @Nullable Digest diffId, long size, List<LayerSource> sources) {}

package dev.coldstart.snapshotter.metadata;

import dev.coldstart.snapshotter.layer.Digest;

/**
 * Where a layer's blob can be fetched.
 *
 * @param host registry, as in image names: HOST[:PORT]
 * @param repository such as {@code library/python}
 */
public record LayerSource(Digest layer, String host, String repository) {}

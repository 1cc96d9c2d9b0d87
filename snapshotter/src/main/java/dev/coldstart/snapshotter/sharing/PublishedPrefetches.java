package dev.coldstart.snapshotter.sharing;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.ArtifactRegistry;
import dev.coldstart.snapshotter.registry.ArtifactRegistry.Repository;
import dev.coldstart.snapshotter.trace.PrefetchSource;
import dev.coldstart.snapshotter.trace.Traces;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Prefetch blobs in the repositories of images, sealed for their layers; where each lies the layer's trace knows. */
public final class PublishedPrefetches implements PrefetchSource {
    /** Of the sealed stream. */
    static final String MEDIA_TYPE = "application/vnd.coldstart.prefetch.v1.sealed";

    private static final System.Logger LOG = System.getLogger(PublishedPrefetches.class.getName());
    /** Registry, repository, digest of the blob. */
    private static final Pattern PLACE = Pattern.compile("(\\S+) (\\S+) (sha256:[0-9a-f]{64})\n");

    private final ClusterKey key;
    private final ArtifactRegistry registry;
    private final Traces traces;

    public PublishedPrefetches(ClusterKey key, ArtifactRegistry registry, Traces traces) {
        this.key = key;
        this.registry = registry;
        this.traces = traces;
    }

    @Override
    public @Nullable InputStream open(Digest layer) throws IOException {
        String known = traces.prefetch(layer);
        if (known == null) {
            return null;
        }
        Matcher place = PLACE.matcher(known);
        if (!place.matches()) {
            LOG.log(System.Logger.Level.WARNING, "where the prefetch blob of layer {0} lies is not known", layer);
            return null;
        }
        Repository repository = new Repository(place.group(1), place.group(2));
        return key.open(registry.blob(repository, Digest.parse(place.group(3))), context(layer));
    }

    /** Seals what is written as a layer's prefetch blob; only closing completes it. */
    OutputStream seal(OutputStream to, Digest layer) throws IOException {
        return key.seal(to, context(layer));
    }

    private static String context(Digest layer) {
        return "prefetch " + layer;
    }

    /** Notes where a layer's prefetch blob lies, for this node and those that it tells. */
    void published(Digest layer, Repository repository, Digest blob) throws IOException {
        traces.addPrefetch(layer, repository.host() + " " + repository.name() + " " + blob + "\n");
    }
}

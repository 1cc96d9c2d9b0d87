package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.Size;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.RegistryException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Blobs from the registries that are known to have them: the one that worked last is asked first. If only such have a blob
 * as send no parts, it is downloaded once, and its parts are read from there.
 */
public final class RegistrySource implements BlobSource, AutoCloseable {
    private final RegistryClient client;
    private final Function<Digest, Collection<LayerSource>> sources;
    private final BlobSpool spool;
    private final ConcurrentHashMap<Digest, LayerSource> good = new ConcurrentHashMap<>();

    /** Keeps blobs that can be had whole only in the directory for temporary files. */
    public RegistrySource(RegistryClient client, Function<Digest, Collection<LayerSource>> sources) {
        this(client, sources, Path.of(System.getProperty("java.io.tmpdir", "/tmp")), Size.ZERO);
    }

    /**
     * @param whole directory for blobs that can be had whole only, while they are used
     * @param reserve what they have to leave free on its file system
     */
    public RegistrySource(
            RegistryClient client, Function<Digest, Collection<LayerSource>> sources, Path whole, Size reserve) {
        this.client = client;
        this.sources = sources;
        this.spool = new BlobSpool(whole, reserve);
    }

    @Override
    public InputStream open(Digest layer, long from, long to) throws IOException {
        InputStream spooled = spool.find(layer, from, to);
        if (spooled != null) {
            return spooled;
        }
        if (!rangesIgnored(layer)) {
            try {
                return first(layer, source -> client.blob(source.host(), source.repository(), layer, from, to));
            } catch (IOException e) {
                if (Stream.concat(Stream.of(e), Stream.of(e.getSuppressed())).noneMatch(RegistrySource::isWholeOnly)) {
                    throw e;
                }
            }
        }
        return spool.open(layer, from, to, () -> openWhole(layer));
    }

    private static boolean isWholeOnly(Throwable e) {
        return e instanceof RegistryException known && known.reason() == RegistryException.Reason.RANGES_IGNORED;
    }

    /** The whole blob. */
    public InputStream openWhole(Digest layer) throws IOException {
        return first(layer, source -> client.blob(source.host(), source.repository(), layer));
    }

    @Override
    public boolean rangesIgnored(Digest layer) {
        Collection<LayerSource> all = sources.apply(layer);
        return !all.isEmpty() && all.stream().allMatch(source -> client.rangesIgnored(source.host()));
    }

    @Override
    public void distrust(Digest layer) {
        LayerSource source = good.remove(layer);
        if (source != null) {
            client.distrust(source.host(), source.repository(), layer);
        }
        spool.forget(layer);
    }

    private interface Open {
        InputStream from(LayerSource source) throws IOException;
    }

    private InputStream first(Digest layer, Open open) throws IOException {
        List<LayerSource> order = new ArrayList<>();
        LayerSource best = good.get(layer);
        if (best != null) {
            order.add(best);
        }
        sources.apply(layer).stream().filter(source -> !source.equals(best)).forEach(order::add);
        // The likeliest source's failure is the one to tell.
        IOException told = null;
        for (LayerSource source : order) {
            try {
                InputStream in = open.from(source);
                good.put(layer, source);
                return in;
            } catch (IOException e) {
                if (told == null) {
                    told = e;
                } else {
                    told.addSuppressed(e);
                }
            }
        }
        throw told == null ? new IOException("nothing says which registry has layer " + layer) : told;
    }

    @Override
    public void close() {
        spool.close();
    }
}

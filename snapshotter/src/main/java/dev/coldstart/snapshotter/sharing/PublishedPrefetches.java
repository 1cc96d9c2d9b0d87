package dev.coldstart.snapshotter.sharing;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.NewFile;
import dev.coldstart.snapshotter.registry.ArtifactRegistry;
import dev.coldstart.snapshotter.registry.ArtifactRegistry.Repository;
import dev.coldstart.snapshotter.trace.PrefetchSource;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Prefetch blobs in the repositories of images, sealed for their layers. Where a layer's lies is kept beside its index, in
 * {@code HEX.prefetch}: a line with registry, repository and digest.
 */
public final class PublishedPrefetches implements PrefetchSource {
    /** Of the sealed stream. */
    static final String MEDIA_TYPE = "application/vnd.coldstart.prefetch.v1.sealed";

    private static final System.Logger LOG = System.getLogger(PublishedPrefetches.class.getName());
    private static final Pattern LINE = Pattern.compile("(\\S+) (\\S+) (sha256:[0-9a-f]{64})\n");

    private final ClusterKey key;
    private final ArtifactRegistry registry;
    private final Path directory;

    /** @param directory where indexes lie */
    public PublishedPrefetches(ClusterKey key, ArtifactRegistry registry, Path directory) {
        this.key = key;
        this.registry = registry;
        this.directory = directory;
    }

    private record Place(Repository repository, Digest blob) {}

    @Override
    public @Nullable InputStream open(Digest layer) throws IOException {
        Place place = find(layer);
        return place == null ? null : key.open(registry.blob(place.repository(), place.blob()), context(layer));
    }

    /** Seals what is written as a layer's prefetch blob; only closing completes it. */
    OutputStream seal(OutputStream to, Digest layer) throws IOException {
        return key.seal(to, context(layer));
    }

    private static String context(Digest layer) {
        return "prefetch " + layer;
    }

    /** Keeps where a layer's prefetch blob lies. */
    void found(Digest layer, Repository repository, Digest blob) throws IOException {
        if (new Place(repository, blob).equals(find(layer))) {
            return;
        }
        try (NewFile file = new NewFile(file(layer))) {
            ByteBuffer line =
                    ByteBuffer.wrap((repository.host() + " " + repository.name() + " " + blob + "\n").getBytes(UTF_8));
            while (line.hasRemaining()) {
                file.channel().write(line);
            }
            file.commit();
        }
    }

    private @Nullable Place find(Digest layer) throws IOException {
        String line;
        try {
            line = Files.readString(file(layer));
        } catch (NoSuchFileException e) {
            return null;
        }
        Matcher place = LINE.matcher(line);
        if (!place.matches()) {
            LOG.log(System.Logger.Level.WARNING, "{0} is ignored: it names no blob", file(layer));
            return null;
        }
        return new Place(new Repository(place.group(1), place.group(2)), Digest.parse(place.group(3)));
    }

    private Path file(Digest layer) {
        return directory.resolve(layer.hex() + ".prefetch");
    }
}

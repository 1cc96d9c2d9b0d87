package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** What publishing needs of registries (OCI distribution-spec 1.1), besides what reading images needs. */
public interface ArtifactRegistry {
    /**
     * A repository.
     *
     * @param host registry, as in image names: HOST[:PORT]
     */
    record Repository(String host, String name) {}

    /**
     * The manifests of a type that refer to an image manifest, by the referrers API, or where the registry has none by the
     * tag that the specification names for that.
     *
     * @return an image index; null if nothing refers to it
     */
    byte @Nullable [] referrers(Repository repository, Digest subject, String artifactType) throws IOException;

    /** A small manifest, verified. */
    byte[] manifest(Repository repository, Digest digest) throws IOException;

    /** A blob, not verified. */
    InputStream blob(Repository repository, Digest digest) throws IOException;

    /**
     * Stores a blob unless it is there.
     *
     * @throws RegistryException if the registry refuses
     */
    void put(Repository repository, Digest digest, Path file) throws IOException;

    /**
     * Stores a manifest that refers to another one.
     *
     * @return whether the registry notes what it refers to; otherwise the writer keeps the tag for it
     */
    boolean put(Repository repository, Digest digest, byte[] manifest) throws IOException;

    /** The tag that stands in for the referrers API; null if it is not there. */
    byte @Nullable [] referrersTag(Repository repository, Digest subject) throws IOException;

    /** Replaces that tag. */
    void putReferrersTag(Repository repository, Digest subject, byte[] index) throws IOException;
}

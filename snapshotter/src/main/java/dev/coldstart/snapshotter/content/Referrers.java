package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.ArtifactRegistry;
import java.io.IOException;
import java.util.List;

/** Manifests that refer to another one, as a registry lists them. Nothing but the registry vouches for such a list. */
public final class Referrers {
    private final ArtifactRegistry registry;

    public Referrers(ArtifactRegistry registry) {
        this.registry = registry;
    }

    /**
     * Descriptors of manifests that refer to a subject, as the registry orders them; of a long list the first page.
     *
     * @param artifactType those of another type are left out
     */
    public List<ImageManifest.Descriptor> list(String host, String repository, Digest subject, String artifactType)
            throws IOException {
        byte[] json = registry.referrers(new ArtifactRegistry.Repository(host, repository), subject, artifactType);
        if (json == null) {
            return List.of();
        }
        return ImageManifest.parse(json).manifests().stream()
                .filter(manifest -> manifest.artifactType().equals(artifactType))
                .toList();
    }
}

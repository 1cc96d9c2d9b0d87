package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.net.URLEncoder;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Artifacts in registries, over HTTP (OCI distribution-spec 1.1, Pull, Push and Referrers). */
public final class RegistryArtifacts implements ArtifactRegistry {
    private static final String MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
    private static final String INDEX_TYPE = "application/vnd.oci.image.index.v1+json";

    private final RegistryClient client;

    /** Asks by this client, which stays its owner's. */
    public RegistryArtifacts(RegistryClient client) {
        this.client = client;
    }

    @Override
    public byte @Nullable [] referrers(Repository repository, Digest subject, String artifactType) throws IOException {
        try {
            return client.document(
                    repository.host(),
                    repository.name(),
                    "referrers/" + subject,
                    "artifactType=" + URLEncoder.encode(artifactType, StandardCharsets.UTF_8),
                    INDEX_TYPE);
        } catch (RegistryException e) {
            // Registries that do not know this part of the API answer in many ways, and "not found" is what they mean.
            if (e.reason() != Reason.NOT_FOUND && e.reason() != Reason.MALFORMED) {
                throw e;
            }
            return referrersTag(repository, subject);
        }
    }

    @Override
    public byte[] manifest(Repository repository, Digest digest) throws IOException {
        return client.manifest(new ImageReference(repository.host(), repository.name(), digest.toString()))
                .json()
                .getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public InputStream blob(Repository repository, Digest digest) throws IOException {
        return client.blob(repository.host(), repository.name(), digest);
    }

    @Override
    public void put(Repository repository, Digest digest, Path file) throws IOException {
        if (client.write("HEAD", repository, "blobs/" + digest, null, null, BodyPublishers.noBody())
                        .status()
                == 200) {
            return;
        }
        RegistryClient.Written begun =
                client.write("POST", repository, "blobs/uploads/", null, null, BodyPublishers.noBody());
        String location = begun.headers().firstValue("Location").orElse("");
        if (begun.status() != 202 || location.isEmpty()) {
            throw refused(repository, "an upload", begun.status());
        }
        BodyPublisher body = BodyPublishers.ofFile(file);
        RegistryClient.Written done = client.write(
                "PUT",
                repository,
                location + (location.contains("?") ? "&" : "?") + "digest="
                        + URLEncoder.encode(digest.toString(), StandardCharsets.UTF_8),
                begun.at(),
                "application/octet-stream",
                body);
        if (done.status() != 201) {
            throw refused(repository, "a blob", done.status());
        }
    }

    @Override
    public boolean put(Repository repository, Digest digest, byte[] manifest) throws IOException {
        RegistryClient.Written done = put(repository, "manifests/" + digest, MANIFEST_TYPE, manifest);
        return done.headers().firstValue("OCI-Subject").isPresent();
    }

    @Override
    public byte @Nullable [] referrersTag(Repository repository, Digest subject) throws IOException {
        try {
            return client.manifest(new ImageReference(repository.host(), repository.name(), tag(subject)))
                    .json()
                    .getBytes(StandardCharsets.UTF_8);
        } catch (RegistryException e) {
            if (e.reason() == Reason.NOT_FOUND) {
                return null;
            }
            throw e;
        }
    }

    @Override
    public void putReferrersTag(Repository repository, Digest subject, byte[] index) throws IOException {
        var _ = put(repository, "manifests/" + tag(subject), INDEX_TYPE, index);
    }

    private RegistryClient.Written put(Repository repository, String what, String type, byte[] manifest)
            throws IOException {
        RegistryClient.Written done =
                client.write("PUT", repository, what, null, type, BodyPublishers.ofByteArray(manifest));
        if (done.status() != 201) {
            throw refused(repository, "a manifest", done.status());
        }
        return done;
    }

    private static String tag(Digest subject) {
        return subject.toString().replace(':', '-');
    }

    private static RegistryException refused(Repository repository, String what, int status) {
        boolean denied = status == 401 || status == 403 || status == 405;
        return new RegistryException(
                denied ? Reason.DENIED : Reason.MALFORMED,
                "registry " + repository.host() + " does not take " + what + " for " + repository.name()
                        + (denied ? ": nobody may push there with the credentials of this node" : "")
                        + " (it answered " + status + ")");
    }
}

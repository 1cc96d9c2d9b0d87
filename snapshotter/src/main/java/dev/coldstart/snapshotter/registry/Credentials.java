package dev.coldstart.snapshotter.registry;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * All credentials for registries. They are tried in order: those with which the kubelet pulled this very image, the pull
 * secrets, docker's configuration.
 */
public final class Credentials implements Keychain {
    private final List<Keychain> keychains;

    private Credentials(List<Keychain> keychains) {
        this.keychains = keychains;
    }

    /** Nobody's. */
    public static Credentials none() {
        return new Credentials(List.of());
    }

    /** Those of docker's {@code config.json}, which need not be there (yet). */
    public static Credentials read(Path config) {
        return of(null, null, config);
    }

    /**
     * Those of all these places, read again when they change.
     *
     * @param kubelets null where the kubelet does not pull through us
     * @param pullSecrets directory of Kubernetes pull secrets; null for none
     * @param config docker's {@code config.json}
     */
    public static Credentials of(@Nullable CriKeychain kubelets, @Nullable Path pullSecrets, Path config) {
        List<Keychain> keychains = new ArrayList<>();
        if (kubelets != null) {
            keychains.add(kubelets);
        }
        if (pullSecrets != null) {
            keychains.add(new PullSecrets(pullSecrets));
        }
        keychains.add(new DockerConfig(config, CredentialHelper::new));
        return new Credentials(keychains);
    }

    @Override
    public List<Credential> find(String host, String repository) {
        Set<Credential> found = new LinkedHashSet<>();
        for (Keychain keychain : keychains) {
            found.addAll(keychain.find(host, repository));
        }
        return List.copyOf(found);
    }
}

package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** docker's {@code config.json}, with the helper programs that it names; read again when it changes. */
final class DockerConfig implements Keychain {
    private static final System.Logger LOG = System.getLogger(DockerConfig.class.getName());

    private final Path file;
    private final Function<String, CredentialHelper> helpers;
    private @Nullable FileStamp stamp;
    private LoginFile logins = LoginFile.EMPTY;

    /** @param helpers finds the helper of a name, such as {@code ecr-login} */
    DockerConfig(Path file, Function<String, CredentialHelper> helpers) {
        this.file = file;
        this.helpers = helpers;
    }

    @Override
    public List<Credential> find(String host, String repository) {
        LoginFile now = logins();
        String name = now.helpers().getOrDefault(host, now.store());
        if (name != null) {
            Credential helped = helpers.apply(name).get(host);
            if (helped != null) {
                return List.of(helped);
            }
        }
        return now.find(host, repository);
    }

    private synchronized LoginFile logins() {
        FileStamp now = FileStamp.of(file);
        if (!now.equals(stamp)) {
            stamp = now;
            try {
                logins = now.exists() ? LoginFile.read(file) : LoginFile.EMPTY;
            } catch (IOException e) {
                LOG.log(
                        System.Logger.Level.WARNING,
                        "the credentials are those that were known before: {0}",
                        RegistryClient.reason(e));
            }
        }
        return logins;
    }
}

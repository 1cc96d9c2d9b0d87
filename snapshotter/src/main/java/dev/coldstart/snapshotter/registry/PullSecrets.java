package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Kubernetes pull secrets as files: each in the directory or one below, as a pod's secret volumes are mounted ({@code
 * NAME/.dockerconfigjson}, {@code NAME/.dockercfg}). They are looked through again when one is asked for.
 */
final class PullSecrets implements Keychain {
    private static final System.Logger LOG = System.getLogger(PullSecrets.class.getName());
    private static final int DEPTH = 2;
    private static final int MOST = 1000;

    private final Path directory;
    private Map<Path, Known> files = Map.of();

    private record Known(FileStamp stamp, LoginFile logins) {}

    PullSecrets(Path directory) {
        this.directory = directory;
    }

    @Override
    public List<Credential> find(String host, String repository) {
        List<Credential> found = new ArrayList<>();
        look().values().forEach(file -> found.addAll(file.logins().find(host, repository)));
        return found;
    }

    private synchronized Map<Path, Known> look() {
        Map<Path, Known> now = new LinkedHashMap<>();
        Map<Path, Known> before = new HashMap<>(files);
        for (Path file : secrets()) {
            FileStamp stamp = FileStamp.of(file);
            Known known = before.get(file);
            now.put(file, known != null && known.stamp().equals(stamp) ? known : new Known(stamp, read(file)));
        }
        files = now;
        return now;
    }

    private List<Path> secrets() {
        if (!Files.isDirectory(directory)) {
            return List.of();
        }
        // Secrets are symbolic links into a directory whose name begins with two dots, which is replaced as a whole.
        try (Stream<Path> all = Files.find(
                directory,
                DEPTH,
                (path, attributes) -> attributes.isRegularFile()
                        && !directory.relativize(path).toString().startsWith(".."),
                FileVisitOption.FOLLOW_LINKS)) {
            return all.limit(MOST).sorted().toList();
        } catch (IOException | java.io.UncheckedIOException e) {
            LOG.log(System.Logger.Level.WARNING, "cannot look for pull secrets in {0}", directory);
            return List.copyOf(files.keySet());
        }
    }

    private static LoginFile read(Path file) {
        try {
            return LoginFile.read(file);
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "a pull secret is passed over: {0}", RegistryClient.reason(e));
            return LoginFile.EMPTY;
        }
    }
}

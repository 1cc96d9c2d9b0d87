package dev.coldstart.shim.task;

import static java.lang.System.Logger.Level.WARNING;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.IdMapping;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The options of an overlay as mount(2) takes them: with the owners of the lower directories mapped, where the container has a
 * user namespace, and within one page, however many layers there are. What was made for that is given back after the mount.
 * Facts: containerd core/mount/mount_linux.go.
 */
final class LowerDirectories implements AutoCloseable {
    private static final System.Logger LOG = new LateLogger(LowerDirectories.class);
    private static final String LOWER = "lowerdir=";

    private List<String> options;
    private final List<Path> mapped = new ArrayList<>();
    private @Nullable Path temporary;
    private @Nullable Descriptor common;

    private LowerDirectories(List<String> options) {
        this.options = List.copyOf(options);
    }

    /**
     * Prepares a mount.
     *
     * @param mapping null for none
     * @throws IOException if the options stay too long, or owners cannot be mapped
     */
    static LowerDirectories prepare(List<String> options, @Nullable IdMapping mapping) throws IOException {
        LowerDirectories prepared = new LowerDirectories(options);
        try {
            if (mapping != null) {
                prepared.map(mapping);
            }
            if (prepared.bytes() > Mount.MAX_DATA_BYTES) {
                prepared.shorten();
            }
            if (prepared.bytes() > Mount.MAX_DATA_BYTES) {
                throw new IOException("The root file system's overlay options take " + prepared.bytes()
                        + " bytes, and mount takes " + Mount.MAX_DATA_BYTES + "; an image with fewer layers fits.");
            }
            return prepared;
        } catch (IOException e) {
            prepared.close();
            throw e;
        }
    }

    /** For mount(2). */
    List<String> options() {
        return options;
    }

    private int bytes() {
        return Mount.Options.parse(options).data().getBytes(StandardCharsets.UTF_8).length;
    }

    /** Empty strings stand before directories that hold data only. */
    private List<String> lower() {
        return options.stream()
                .filter(option -> option.startsWith(LOWER))
                .findFirst()
                .map(option -> List.of(option.substring(LOWER.length()).split(":", -1)))
                .orElse(List.of());
    }

    private void replaceLower(List<String> directories) {
        String option = LOWER + String.join(":", directories);
        options = options.stream()
                .map(old -> old.startsWith(LOWER) ? option : old)
                .toList();
    }

    private void map(IdMapping mapping) throws IOException {
        temporary = Files.createTempDirectory("lower");
        List<String> directories = new ArrayList<>();
        for (String directory : lower()) {
            if (directory.isEmpty()) {
                directories.add(directory);
                continue;
            }
            Path at = Files.createDirectory(temporary.resolve(Integer.toString(mapped.size())));
            mapped.add(at);
            mapping.mount(Path.of(directory), at);
            directories.add(at.toString());
        }
        replaceLower(directories);
    }

    /** Names the directories from the one that they share, by a descriptor of it. */
    private void shorten() throws IOException {
        List<String> directories = lower();
        @Nullable Path shared = null;
        for (String directory : directories) {
            if (!directory.isEmpty()) {
                @Nullable Path parent = Path.of(directory).getParent();
                shared = shared == null ? parent : shared(shared, parent);
            }
        }
        if (shared == null || shared.getNameCount() == 0) {
            return;
        }
        Descriptor held = Descriptor.open(shared.toString(), Descriptor.O_RDONLY, 0);
        common = held;
        String start = "/proc/self/fd/" + held.number() + "/";
        Path root = shared;
        replaceLower(directories.stream()
                .map(directory -> directory.isEmpty() ? "" : start + root.relativize(Path.of(directory)))
                .toList());
    }

    private static @Nullable Path shared(Path one, @Nullable Path other) {
        @Nullable Path shared = one;
        while (shared != null && (other == null || !other.startsWith(shared))) {
            shared = shared.getParent();
        }
        return shared;
    }

    /** After the mount, which keeps what it needs. */
    @Override
    public void close() {
        Descriptor held = common;
        if (held != null) {
            held.close();
        }
        try {
            for (Path at : mapped) {
                try {
                    Mount.umount(at.toString(), Mount.MNT_DETACH);
                } catch (LinuxException e) {
                    LOG.log(WARNING, "A mapped layer stays mounted: {0}", e.getMessage());
                }
                Files.deleteIfExists(at);
            }
            Path directory = temporary;
            if (directory != null) {
                Files.deleteIfExists(directory);
            }
        } catch (IOException e) {
            LOG.log(WARNING, "The directories of mapped layers stay: {0}", e.getMessage());
        }
    }
}

package dev.coldstart.restore.store;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.linux.DirectoryLock;
import dev.coldstart.linux.Durability;
import dev.coldstart.linux.FileTree;
import dev.coldstart.proto.v1.KeyField;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.key.SnapshotKey;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The snapshots of a node: {@code ROOT/ID/{manifest.pb,checkpoint/,upper/}}. Names that start with a dot are drafts and
 * removed snapshots; nobody looks at them, and a sweep deletes each that nobody holds. Several processes may use one
 * store at once.
 *
 * <p>Whoever reads a snapshot, or writes a draft, holds a shared lock on its directory; only a sweep takes an exclusive
 * one. So removal is a rename, and files go when their last reader has gone.
 */
public final class SnapshotStore {
    static final String MANIFEST = "manifest.pb";
    static final String CHECKPOINT = "checkpoint";
    static final String UPPER = "upper";
    static final String WORK = "work";
    static final String QUARANTINE = "quarantine";

    private static final Pattern ID = Pattern.compile("[0-9a-f]{64}");
    private static final int MAX_MANIFEST_BYTES = 1 << 20;
    private static final int MAX_QUARANTINE_BYTES = 4096;
    private static final int ATTEMPTS = 10;
    private static final System.Logger LOG = System.getLogger(SnapshotStore.class.getName());

    private final Path root;

    /**
     * The store under a directory.
     *
     * @param root such as {@code /var/lib/coldstart/snapshots}; made when the first snapshot is stored
     */
    public SnapshotStore(Path root) {
        this.root = root.toAbsolutePath().normalize();
    }

    /** The directory the snapshots lie in. */
    public Path root() {
        return root;
    }

    /** Looks for a snapshot of the key's subject and checks its conditions. Never throws for what lies on disk. */
    public Lookup find(SnapshotKey live) {
        String id = live.id();
        try {
            Optional<StoredSnapshot> opened = open(id);
            if (opened.isEmpty()) {
                return new Lookup.Absent();
            }
            StoredSnapshot snapshot = opened.get();
            Optional<String> refusal = key(snapshot.manifest()).mismatch(live).or(() -> quarantined(id));
            if (refusal.isPresent()) {
                snapshot.close();
                return new Lookup.Refused(id, refusal.get());
            }
            return new Lookup.Found(snapshot);
        } catch (IOException e) {
            return new Lookup.Refused(id, Objects.requireNonNullElse(e.getMessage(), e.toString()));
        }
    }

    /**
     * Opens a snapshot by its id, whatever its key; empty if there is none.
     *
     * @throws IOException with one sentence if it is damaged
     */
    public Optional<StoredSnapshot> open(String id) throws IOException {
        requireId(id);
        Path directory = root.resolve(id);
        // Between opening and locking it may be renamed away and swept; then the name is free or means another one.
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            Object before = identity(directory);
            if (before == null) {
                return Optional.empty();
            }
            Optional<DirectoryLock> lease = lease(directory);
            if (lease.isEmpty()) {
                continue;
            }
            boolean kept = false;
            try {
                if (before.equals(identity(directory))) {
                    SnapshotManifest manifest = manifest(directory, id);
                    kept = true;
                    return Optional.of(new StoredSnapshot(directory, manifest, lease.get()));
                }
            } finally {
                if (!kept) {
                    lease.get().close();
                }
            }
        }
        return Optional.empty();
    }

    /** All readable snapshots, newest first; a damaged one is left out with a warning. */
    public List<SnapshotManifest> list() throws IOException {
        List<SnapshotManifest> result = new ArrayList<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root)) {
            for (Path entry : entries) {
                String name = entry.getFileName().toString();
                if (!ID.matcher(name).matches()) {
                    continue;
                }
                try {
                    result.add(manifest(entry, name));
                } catch (IOException e) {
                    LOG.log(System.Logger.Level.WARNING, e.getMessage());
                }
            }
        } catch (NoSuchFileException e) {
            return List.of();
        }
        result.sort(Comparator.comparingLong(
                        (SnapshotManifest manifest) -> manifest.getCreatedAt().getSeconds())
                .reversed());
        return List.copyOf(result);
    }

    /** Removes a snapshot from sight; its files go when no container needs them. False if there was none. */
    public boolean remove(String id) throws IOException {
        requireId(id);
        try {
            Files.move(root.resolve(id), root.resolve(".removed-" + UUID.randomUUID()), StandardCopyOption.ATOMIC_MOVE);
        } catch (NoSuchFileException e) {
            return false;
        }
        Durability.syncDirectory(root);
        sweep();
        return true;
    }

    /** Starts a new snapshot. */
    public SnapshotDraft draft() throws IOException {
        Files.createDirectories(
                root, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        sweep();
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            Path directory = root.resolve(".draft-" + UUID.randomUUID());
            createPrivate(directory);
            Optional<DirectoryLock> lease = lease(directory);
            // Another process's sweep may have been faster than the lock.
            if (lease.isEmpty()) {
                continue;
            }
            if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
                lease.get().close();
                continue;
            }
            createPrivate(directory.resolve(CHECKPOINT));
            createPrivate(directory.resolve(WORK));
            return new SnapshotDraft(this, directory, lease.get());
        }
        throw new IOException("No directory for a new snapshot could be made in " + root + ".");
    }

    /** Deletes drafts of dead processes and removed snapshots that nobody holds. A failure is logged and left. */
    void sweep() {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root, ".*")) {
            for (Path entry : entries) {
                try (DirectoryLock lock = DirectoryLock.exclusive(entry).orElse(null)) {
                    if (lock != null) {
                        FileTree.delete(entry);
                    }
                } catch (IOException e) {
                    LOG.log(System.Logger.Level.DEBUG, "{0} stays: {1}", entry, e.getMessage());
                }
            }
        } catch (NoSuchFileException | NotDirectoryException e) {
            LOG.log(System.Logger.Level.DEBUG, "no snapshots in {0}", root);
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "Removed snapshots in {0} stay: {1}", root, e.getMessage());
        }
    }

    private static Optional<DirectoryLock> lease(Path directory) throws IOException {
        try {
            return DirectoryLock.shared(directory);
        } catch (IOException e) {
            if (!Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
                return Optional.empty();
            }
            throw e;
        }
    }

    private static @Nullable Object identity(Path directory) throws IOException {
        try {
            return Files.readAttributes(directory, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                    .fileKey();
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    private static SnapshotManifest manifest(Path directory, String id) throws IOException {
        byte[] bytes;
        try (InputStream in = Files.newInputStream(directory.resolve(MANIFEST), LinkOption.NOFOLLOW_LINKS)) {
            bytes = in.readNBytes(MAX_MANIFEST_BYTES + 1);
        } catch (IOException e) {
            throw damaged(id, "its manifest cannot be read", e);
        }
        if (bytes.length > MAX_MANIFEST_BYTES) {
            throw damaged(id, "its manifest is larger than " + MAX_MANIFEST_BYTES + " bytes", null);
        }
        SnapshotManifest manifest;
        try {
            manifest = SnapshotManifest.parseFrom(bytes);
        } catch (InvalidProtocolBufferException e) {
            throw damaged(id, "its manifest is no manifest", e);
        }
        if (!manifest.getId().equals(id)) {
            throw damaged(id, "its manifest has another id", null);
        }
        if (!key(manifest).id().equals(id)) {
            throw damaged(id, "its manifest's key has another id", null);
        }
        for (String part : List.of(CHECKPOINT, UPPER)) {
            if (!Files.isDirectory(directory.resolve(part), LinkOption.NOFOLLOW_LINKS)) {
                throw damaged(id, "it has no directory " + part, null);
            }
        }
        return manifest;
    }

    private static IOException damaged(String id, String what, @Nullable Throwable cause) {
        return new IOException(
                "Snapshot " + id.substring(0, 12) + " is damaged: " + what + "; remove it with coldstart snapshot rm.",
                cause);
    }

    private static SnapshotKey key(SnapshotManifest manifest) {
        return new SnapshotKey(
                fields(manifest.getKey().getSubjectList()),
                fields(manifest.getKey().getConditionsList()));
    }

    private static List<SnapshotKey.Field> fields(List<KeyField> fields) {
        return fields.stream()
                .map(field -> new SnapshotKey.Field(field.getName(), field.getValue()))
                .toList();
    }

    private Optional<String> quarantined(String id) {
        String text;
        try (InputStream in = Files.newInputStream(root.resolve(id).resolve(QUARANTINE), LinkOption.NOFOLLOW_LINKS)) {
            text = new String(in.readNBytes(MAX_QUARANTINE_BYTES), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return Optional.empty();
        }
        List<String> lines = text.lines().toList();
        if (lines.size() < 2 || !lines.get(0).equals(bootId())) {
            return Optional.empty();
        }
        return Optional.of("It failed to restore on this node since its last boot: " + lines.get(1));
    }

    /** The kernel's name for the time since the last boot. */
    static String bootId() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip();
        } catch (IOException e) {
            throw new UncheckedIOException("every Linux has a boot id", e);
        }
    }

    static void requireId(String id) throws IOException {
        if (!ID.matcher(id).matches()) {
            throw new IOException("A snapshot's id has 64 lower-case hex digits, and this is none: "
                    + (id.length() > 80 ? id.substring(0, 80) + "…" : id) + ".");
        }
    }

    static void makePrivate(Path file) throws IOException {
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    }

    private static void createPrivate(Path directory) throws IOException {
        Files.createDirectory(
                directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
}

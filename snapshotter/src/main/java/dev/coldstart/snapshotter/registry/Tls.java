package dev.coldstart.snapshotter.registry;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * How a server proves who it is, and how we do.
 *
 * @param authorities PEM files of authorities to trust besides the machine's
 * @param keys ours
 * @param skipVerify whether any certificate is taken
 */
record Tls(List<Path> authorities, List<Key> keys, boolean skipVerify) {
    /** What the machine trusts, and no key. */
    static final Tls DEFAULT = new Tls(List.of(), List.of(), false);

    /**
     * A certificate and its private key, in PEM.
     *
     * @param key null if it lies in the certificate's file
     */
    record Key(Path certificate, @Nullable Path key) {}

    Tls {
        authorities = List.copyOf(authorities);
        keys = List.copyOf(keys);
    }

    /** The state of all files, so that a renewed certificate is noticed. */
    List<FileStamp> stamps() {
        List<FileStamp> stamps = new ArrayList<>();
        Stream.concat(authorities.stream(), keys.stream().flatMap(key -> Stream.of(key.certificate(), key.key())))
                .filter(Objects::nonNull)
                .map(FileStamp::of)
                .forEach(stamps::add);
        return stamps;
    }
}

package dev.coldstart.snapshotter.registry;

import dev.coldstart.proto.cri.AuthConfig;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The credentials that the kubelet sent with its pulls, each for its image's repository. Kept in memory only, some
 * thousand of them, each for a day after its last pull.
 */
public final class CriKeychain implements Keychain {
    private static final int MOST = 4096;
    private static final Duration LIFE = Duration.ofHours(24);

    private final LongSupplier nanoTime;
    private final Map<Place, Held> held = new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Place, Held> eldest) {
            return size() > MOST;
        }
    };

    private record Place(String host, String repository) {}

    private record Held(Credential credential, long since) {}

    public CriKeychain() {
        this(System::nanoTime);
    }

    CriKeychain(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /**
     * Keeps what came with a pull, if anything did.
     *
     * @param image as the kubelet names it: {@code python:3} is {@code docker.io/library/python:3}
     */
    public void remember(String image, AuthConfig auth) {
        ImageReference reference = reference(image);
        Credential credential = Credential.of(
                auth.getUsername(),
                auth.getPassword(),
                auth.getAuth(),
                auth.getIdentityToken(),
                auth.getRegistryToken());
        // A login for another server is not for this one.
        if (reference == null
                || credential == null
                || (!auth.getServerAddress().isEmpty()
                        && !LoginFile.host(auth.getServerAddress()).equalsIgnoreCase(reference.host()))) {
            return;
        }
        synchronized (held) {
            held.put(new Place(reference.host(), reference.repository()), new Held(credential, nanoTime.getAsLong()));
        }
    }

    @Override
    public List<Credential> find(String host, String repository) {
        synchronized (held) {
            held.values().removeIf(one -> nanoTime.getAsLong() - one.since() > LIFE.toNanos());
            Held one = held.get(new Place(host, repository));
            return one == null ? List.of() : List.of(one.credential());
        }
    }

    /** As docker reads names; null if it is none. */
    private static @Nullable ImageReference reference(String image) {
        int slash = image.indexOf('/');
        String first = slash < 0 ? "" : image.substring(0, slash);
        boolean named = first.contains(".")
                || first.contains(":")
                || first.equals("localhost")
                || !first.equals(first.toLowerCase(Locale.ROOT));
        String full = named ? image : "docker.io/" + (slash < 0 ? "library/" : "") + image;
        try {
            return ImageReference.parse(full.replaceFirst("^index\\.docker\\.io/", "docker.io/"));
        } catch (IllegalArgumentException e) {
            return null;
        }
    }
}

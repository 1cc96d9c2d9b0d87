package dev.coldstart.snapshotter.registry;

import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Where registries have sent us for blobs, as long as these addresses are good. They may be signed: they are secrets. */
final class Locations {
    private static final int MOST = 4096;
    /** An address that does not say when it ends is asked for anew after that. */
    private static final Duration LIFE = Duration.ofMinutes(10);
    /** A request must still arrive before the end. */
    private static final Duration MARGIN = Duration.ofSeconds(10);

    private static final DateTimeFormatter BASIC = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'", Locale.ROOT);

    private final Map<Blob, Place> places = new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Blob, Place> eldest) {
            return size() > MOST;
        }
    };

    /** A blob at a server. */
    record Blob(URI endpoint, String repository, String digest) {}

    private record Place(URI address, Instant until) {}

    /** The address that is known to be good; null if none is. */
    @Nullable
    URI find(Blob blob, Instant now) {
        synchronized (places) {
            Place place = places.get(blob);
            if (place != null && now.isAfter(place.until())) {
                places.remove(blob);
                return null;
            }
            return place == null ? null : place.address();
        }
    }

    void put(Blob blob, URI address, Instant now) {
        Instant until = end(address, now);
        if (until.isAfter(now)) {
            synchronized (places) {
                places.put(blob, new Place(address, until));
            }
        }
    }

    void forget(Blob blob) {
        synchronized (places) {
            places.remove(blob);
        }
    }

    /**
     * When an address ends, by what its query says: {@code X-Amz-Date} and {@code X-Amz-Expires} (AWS, signature 4), the
     * same of Google ({@code X-Goog-…}), {@code Expires} (signature 2, CloudFront, in seconds since 1970), {@code se}
     * (Azure).
     */
    static Instant end(URI address, Instant now) {
        Instant end = now.plus(LIFE);
        Map<String, String> query = new HashMap<>();
        String raw = address.getRawQuery();
        for (String part : (raw == null ? "" : raw).split("&", 100)) {
            int equals = part.indexOf('=');
            if (equals > 0) {
                query.put(
                        part.substring(0, equals).toLowerCase(Locale.ROOT),
                        part.substring(equals + 1).replace("%3A", ":").replace("%3a", ":"));
            }
        }
        for (String vendor : new String[] {"x-amz-", "x-goog-"}) {
            String seconds = query.get(vendor + "expires");
            if (seconds != null && seconds.matches("\\d{1,9}")) {
                Instant from = signed(query.get(vendor + "date"), now);
                end = from.plusSeconds(Long.parseLong(seconds)).minus(MARGIN);
            }
        }
        String epoch = query.get("expires");
        if (epoch != null && epoch.matches("\\d{9,11}")) {
            end = Instant.ofEpochSecond(Long.parseLong(epoch)).minus(MARGIN);
        }
        String azure = query.get("se");
        if (azure != null) {
            try {
                end = Instant.parse(azure).minus(MARGIN);
            } catch (DateTimeParseException e) {
                // Something else of that name.
                return end;
            }
        }
        return end;
    }

    /** Our clock may be behind the server's: what was signed in our future was signed now. */
    private static Instant signed(@Nullable String date, Instant now) {
        try {
            Instant then = date == null ? now : LocalDateTime.parse(date, BASIC).toInstant(ZoneOffset.UTC);
            return then.isAfter(now) ? now : then;
        } catch (DateTimeParseException e) {
            return now;
        }
    }
}

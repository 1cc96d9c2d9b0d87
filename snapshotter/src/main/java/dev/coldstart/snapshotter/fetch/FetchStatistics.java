package dev.coldstart.snapshotter.fetch;

import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;

/**
 * What was fetched since the process started, and what waits now.
 *
 * @param bytes of blobs, by what they were fetched for
 * @param requests by what they were made for
 * @param queued spans that wait, by what for
 * @param running requests, hedges not counted
 * @param connections requests at once that are found to be enough for hosts, by host
 * @param merged spans that needed no request of their own
 * @param lifted spans that a read began to wait for while they were queued or fetched for less
 * @param hedges second requests in place of silent ones
 * @param hedgesWon of them those that brought the bytes
 * @param repairs requests for bytes that were wrong on disk
 * @param failures requests that ended before all of their spans
 */
public record FetchStatistics(
        Map<Priority, Long> bytes,
        Map<Priority, Long> requests,
        Map<Priority, Integer> queued,
        int running,
        Map<String, Integer> connections,
        long merged,
        long lifted,
        long hedges,
        long hedgesWon,
        long repairs,
        long failures) {
    public FetchStatistics {
        bytes = Collections.unmodifiableMap(new EnumMap<>(bytes));
        requests = Collections.unmodifiableMap(new EnumMap<>(requests));
        queued = Collections.unmodifiableMap(new EnumMap<>(queued));
        connections = Map.copyOf(connections);
    }

    /** Bytes for whatever purpose. */
    public long allBytes() {
        return bytes.values().stream().mapToLong(Long::longValue).sum();
    }

    /** Requests for whatever purpose, hedges not counted. */
    public long allRequests() {
        return requests.values().stream().mapToLong(Long::longValue).sum();
    }

    /** One line for the log. */
    @Override
    public String toString() {
        StringBuilder line = new StringBuilder();
        for (Priority priority : Priority.values()) {
            line.append(priority)
                    .append(' ')
                    .append(bytes.getOrDefault(priority, 0L))
                    .append(" bytes in ")
                    .append(requests.getOrDefault(priority, 0L))
                    .append(" requests, ")
                    .append(queued.getOrDefault(priority, 0))
                    .append(" spans queued; ");
        }
        return line.append("running ")
                .append(running)
                .append(" of ")
                .append(connections)
                .append("; merged ")
                .append(merged)
                .append(", lifted ")
                .append(lifted)
                .append(", hedges ")
                .append(hedges)
                .append(" (won ")
                .append(hedgesWon)
                .append("), repairs ")
                .append(repairs)
                .append(", failures ")
                .append(failures)
                .toString();
    }
}

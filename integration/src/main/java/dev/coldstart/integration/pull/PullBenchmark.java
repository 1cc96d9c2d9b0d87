package dev.coldstart.integration.pull;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** {@code integration/bench pull}: every image over its links in every way, as a table and as a line {@code RESULT {…}}. */
public final class PullBenchmark {
    private PullBenchmark() {}

    /**
     * Arguments: how many runs, or 0 for as many as the image has by default; the sizes, and the links or an empty string for
     * those that the image has by default, both in lower case with commas between them.
     */
    public static void main(String[] args) {
        int runs = Integer.parseInt(args[0]);
        List<Size> sizes = words(args[1])
                .map(word -> Size.valueOf(word.toUpperCase(Locale.ROOT)))
                .sorted()
                .toList();
        List<Link> links = words(args[2]).map(PullBenchmark::link).sorted().toList();
        Results results = new Results();
        try (Hosts hosts = Hosts.prepare(Repository.here())) {
            if (!hosts.replays()) {
                System.err.println("pull: this snapshotter replays no traces");
            }
            for (Size size : sizes) {
                System.err.println("pull: image " + size.image());
                String image = hosts.learn(size);
                for (Link link : links.isEmpty() ? size.links() : links) {
                    hosts.shape(link);
                    measure(hosts, new Cell(size, link), image, runs == 0 ? size.runs() : runs, results);
                }
            }
            Table table = new Table(results);
            System.out.println(table.text());
            System.out.println("RESULT " + table.json());
        } catch (HostException e) {
            System.err.println("integration/bench: " + e.getMessage());
            System.exit(1);
        }
    }

    private static void measure(Hosts hosts, Cell cell, String image, int runs, Results results) {
        Measurement first = null;
        for (int run = 1; run <= runs; run++) {
            for (Way way : Way.values()) {
                if (way == Way.NO_TRACE && !hosts.replays()) {
                    continue;
                }
                Measurement measurement = hosts.measure(way, image);
                first = first == null ? measurement : first;
                requireSame(way, first, measurement);
                results.add(cell, way, measurement);
                System.err.printf(
                        Locale.ROOT,
                        "pull: %s, run %d of %d: %s: answer %.2f s, all read %.2f s%n",
                        cell.title(),
                        run,
                        runs,
                        way.title(),
                        measurement.start().seconds(),
                        measurement.allReadSeconds());
            }
        }
    }

    private static void requireSame(Way way, Measurement first, Measurement measurement) {
        if (!measurement.digest().equals(first.digest())) {
            throw new HostException(way.title() + ": the container's files are not those that overlayfs has");
        }
        if (!measurement
                .start()
                .prediction()
                .prediction()
                .equals(first.start().prediction().prediction())) {
            throw new HostException(way.title() + ": the server predicts otherwise than on overlayfs");
        }
    }

    private static Stream<String> words(String list) {
        return Arrays.stream(list.split(",")).filter(word -> !word.isEmpty());
    }

    private static Link link(String rate) {
        return Arrays.stream(Link.values())
                .filter(link -> link.rate().equals(rate))
                .findFirst()
                .orElseThrow(() -> new HostException("there is no link of " + rate));
    }
}

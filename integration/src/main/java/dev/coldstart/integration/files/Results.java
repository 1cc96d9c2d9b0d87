package dev.coldstart.integration.files;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/** All runs of all ways, first passes apart from warm ones. */
final class Results {
    private final Map<Way, Map<Workload, List<Load>>> first = new EnumMap<>(Way.class);
    private final Map<Way, Map<Workload, List<Load>>> warm = new EnumMap<>(Way.class);

    void addFirst(Way way, Workload workload, Load load) {
        of(first, way, workload).add(load);
    }

    void addWarm(Way way, Workload workload, List<Load> loads) {
        of(warm, way, workload).addAll(loads);
    }

    private static List<Load> of(Map<Way, Map<Workload, List<Load>>> all, Way way, Workload workload) {
        return all.computeIfAbsent(way, key -> new EnumMap<>(Workload.class))
                .computeIfAbsent(workload, key -> new ArrayList<>());
    }

    boolean has(Way way, Workload workload) {
        return first.containsKey(way) && !loads(true, way, workload).isEmpty();
    }

    /** The value below which a share of the passes lies; NaN if it was not measured. */
    double quantile(boolean firstPass, Way way, Workload workload, double share, ToDoubleFunction<Load> of) {
        double[] values = loads(firstPass, way, workload).stream()
                .mapToDouble(of)
                .sorted()
                .toArray();
        return values.length == 0 ? Double.NaN : values[(int) Math.min(values.length - 1, values.length * share)];
    }

    double seconds(boolean firstPass, Way way, Workload workload) {
        return quantile(firstPass, way, workload, 0.5, Load::seconds);
    }

    /** A way's throughput over overlayfs': 1 is as fast, less is slower. NaN if either was not measured. */
    double ratio(boolean firstPass, Way way, Workload workload) {
        return seconds(firstPass, Way.NATIVE, workload) / seconds(firstPass, way, workload);
    }

    private List<Load> loads(boolean firstPass, Way way, Workload workload) {
        return (firstPass ? first : warm).getOrDefault(way, Map.of()).getOrDefault(workload, List.of());
    }
}

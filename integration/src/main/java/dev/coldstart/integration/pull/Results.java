package dev.coldstart.integration.pull;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.ToDoubleFunction;

/** All measurements, by cell and way. */
final class Results {
    private final Map<Cell, Map<Way, List<Measurement>>> all = new LinkedHashMap<>();

    void add(Cell cell, Way way, Measurement measurement) {
        all.computeIfAbsent(cell, key -> new EnumMap<>(Way.class))
                .computeIfAbsent(way, key -> new ArrayList<>())
                .add(measurement);
    }

    /** In the order in which they were measured. */
    Set<Cell> cells() {
        return all.keySet();
    }

    int runs(Cell cell, Way way) {
        return of(cell, way).size();
    }

    /** NaN if it was not measured. */
    double median(Cell cell, Way way, ToDoubleFunction<Measurement> of) {
        double[] values = of(cell, way).stream().mapToDouble(of).sorted().toArray();
        int half = values.length / 2;
        if (values.length == 0) {
            return Double.NaN;
        }
        return values.length % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    }

    /** A way's median over that of another way. NaN if either was not measured. */
    double ratio(Cell cell, Way way, Way base, ToDoubleFunction<Measurement> of) {
        return median(cell, way, of) / median(cell, base, of);
    }

    /** The greatest ratio of all cells. */
    OptionalDouble greatest(Way way, Way base, ToDoubleFunction<Measurement> of) {
        return cells().stream()
                .mapToDouble(cell -> ratio(cell, way, base, of))
                .filter(ratio -> !Double.isNaN(ratio))
                .max();
    }

    /** The geometric mean of the ratios of all cells. */
    OptionalDouble mean(Way way, Way base, ToDoubleFunction<Measurement> of) {
        OptionalDouble logarithm = cells().stream()
                .mapToDouble(cell -> ratio(cell, way, base, of))
                .filter(ratio -> !Double.isNaN(ratio))
                .map(Math::log)
                .average();
        return logarithm.isPresent() ? OptionalDouble.of(Math.exp(logarithm.getAsDouble())) : OptionalDouble.empty();
    }

    private List<Measurement> of(Cell cell, Way way) {
        return all.getOrDefault(cell, Map.of()).getOrDefault(way, List.of());
    }
}

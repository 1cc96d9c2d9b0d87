package dev.coldstart.planner.plan;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Nodes that are alike: the same capacities, and the same bytes of every group that a planned start reads. Immutable. */
final class NodeClass {
    private final Instance instance;
    private final int[] members;
    /** By group, then by {@link Option#index}; null where it is not worth considering. */
    private final @Nullable Option[][] byIndex;

    private final Option[][] options;

    NodeClass(Instance instance, int[] members) {
        this.instance = instance;
        this.members = members;
        byIndex = new Option[instance.groups()][];
        options = new Option[instance.groups()][];
        for (int g = 0; g < instance.groups(); g++) {
            List<Option> kept = instance.usersOf(g).length == 0 ? List.of() : undominated(g);
            options[g] = kept.toArray(Option[]::new);
            @Nullable Option[] row = new Option[Option.COUNT];
            for (Option o : kept) {
                row[o.index()] = o;
            }
            byIndex[g] = row;
        }
    }

    private List<Option> undominated(int g) {
        long bytes = instance.bytes(g);
        int node = representative();
        long[] ram = {0, instance.presentRam(node, g), bytes};
        long[] disk = {0, instance.presentDisk(node, g), bytes};
        List<Option> all = new ArrayList<>();
        double unstaged = instance.readSeconds(g, 0, 0);
        for (int r = 0; r < Option.LEVELS; r++) {
            for (int d = 0; d < Option.LEVELS; d++) {
                boolean sameAsAnother =
                        (r == 1 && (ram[1] == 0 || ram[1] == bytes)) || (d == 1 && (disk[1] == 0 || disk[1] == bytes));
                if (sameAsAnother || ram[r] > ramBytes() || disk[d] > diskBytes()) {
                    continue;
                }
                long fetched = Math.max(0, ram[r] - ram[1]) + Math.max(0, disk[d] - disk[1]);
                double seconds = instance.readSeconds(g, ram[r], disk[d]);
                all.add(new Option(
                        Option.LEVELS * r + d,
                        ram[r],
                        disk[d],
                        fetched,
                        seconds,
                        unstaged - seconds,
                        instance.moveCost(fetched)));
            }
        }
        List<Option> kept = new ArrayList<>();
        for (Option o : all) {
            boolean wanted = o.index() != Option.NONE;
            for (Option other : all) {
                // Of two that are equal the first stays.
                if (other.index() != o.index()
                        && o.dominatedBy(other)
                        && (!other.dominatedBy(o) || other.index() < o.index())) {
                    wanted = false;
                }
            }
            if (wanted) {
                kept.add(o);
            }
        }
        return kept;
    }

    Instance instance() {
        return instance;
    }

    /** The nodes; not to be changed. */
    int[] members() {
        return members;
    }

    int representative() {
        return members[0];
    }

    long ramBytes() {
        return instance.ramBytes(representative());
    }

    long diskBytes() {
        return instance.diskBytes(representative());
    }

    /** What a node of this class may do with {@code g} besides holding nothing of it; not to be changed. */
    Option[] options(int g) {
        return options[g];
    }

    /** The option of that index, or null where there is none or it is {@link Option#NONE}. */
    @Nullable
    Option option(int g, int index) {
        return byIndex[g][index];
    }
}

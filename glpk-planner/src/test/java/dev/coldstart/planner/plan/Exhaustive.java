package dev.coldstart.planner.plan;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The best layout of a tiny instance, by trying every way to fill every node, with a cost function of its own. */
final class Exhaustive {
    private final Instance instance;

    private Exhaustive(Instance instance) {
        this.instance = instance;
    }

    static double optimum(Instance instance) {
        return new Exhaustive(instance).best();
    }

    private record Contents(double moved, List<Double> seconds) {}

    private double best() {
        List<List<Contents>> nodes = new ArrayList<>();
        for (int n = 0; n < instance.nodes(); n++) {
            List<Contents> all = new ArrayList<>();
            fill(n, 0, new long[instance.groups()], new long[instance.groups()], 0, 0, 0, all);
            nodes.add(all);
        }
        double best = Double.POSITIVE_INFINITY;
        for (Contents a : nodes.get(0)) {
            for (Contents b : nodes.get(1)) {
                double cost = a.moved() + b.moved();
                for (int f = 0; f < instance.functions(); f++) {
                    cost += instance.starts(f)
                            * Math.min(a.seconds().get(f), b.seconds().get(f));
                }
                best = Math.min(best, cost);
            }
        }
        return best;
    }

    private void fill(
            int node, int g, long[] ram, long[] disk, long ramUsed, long diskUsed, double moved, List<Contents> all) {
        if (ramUsed > instance.ramBytes(node) || diskUsed > instance.diskBytes(node)) {
            return;
        }
        if (g == instance.groups()) {
            double[] seconds = new double[instance.functions()];
            for (int f = 0; f < seconds.length; f++) {
                seconds[f] = instance.unstagedSeconds(f);
                for (int h : instance.groupsOf(f)) {
                    seconds[f] += instance.readSeconds(h, ram[h], disk[h]) - instance.readSeconds(h, 0, 0);
                }
            }
            all.add(new Contents(moved, Arrays.stream(seconds).boxed().toList()));
            return;
        }
        long bytes = instance.bytes(g);
        long[] inRam = {0, instance.presentRam(node, g), bytes};
        long[] onDisk = {0, instance.presentDisk(node, g), bytes};
        for (int r = 0; r < 3; r++) {
            for (int d = 0; d < 3; d++) {
                boolean repeated = (r == 1 && (inRam[1] == 0 || inRam[1] == bytes))
                        || (d == 1 && (onDisk[1] == 0 || onDisk[1] == bytes));
                if (repeated || (r == 2 && d > 0)) {
                    continue;
                }
                ram[g] = inRam[r];
                disk[g] = onDisk[d];
                long written = Math.max(0, ram[g] - inRam[1]) + Math.max(0, disk[g] - onDisk[1]);
                fill(
                        node,
                        g + 1,
                        ram,
                        disk,
                        ramUsed + ram[g],
                        diskUsed + disk[g],
                        moved + instance.moveCost(written),
                        all);
            }
        }
        ram[g] = 0;
        disk[g] = 0;
    }
}

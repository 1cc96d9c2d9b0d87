package dev.coldstart.planner.plan;

import java.util.ArrayList;
import java.util.List;

/**
 * What every node holds: one pattern per node, whose {@code serves} does not matter here, since each start goes where
 * it is fastest. Mutable, single-threaded.
 */
final class Layout {
    private static final double EPSILON = 1e-9;

    private final Instance instance;
    private final Pattern[] nodes;

    private Layout(Instance instance, Pattern[] nodes) {
        this.instance = instance;
        this.nodes = nodes;
    }

    /** The nodes as they are, as far as that fits their capacities. */
    static Layout asIs(Instance instance) {
        Pattern[] nodes = new Pattern[instance.nodes()];
        for (NodeClass c : instance.classes()) {
            Pattern pattern = Pattern.asIs(c);
            for (int n : c.members()) {
                nodes[n] = pattern;
            }
        }
        return new Layout(instance, nodes);
    }

    /** @param patterns by node */
    static Layout of(Instance instance, List<Pattern> patterns) {
        return new Layout(instance, patterns.toArray(Pattern[]::new));
    }

    Pattern at(int node) {
        return nodes[node];
    }

    /** Cold-start seconds of the epoch plus the price of moved bytes. */
    double cost() {
        double cost = 0;
        for (Pattern p : nodes) {
            cost += p.moveCost();
        }
        for (int f = 0; f < instance.functions(); f++) {
            cost += instance.starts(f) * bestSeconds(f, -1);
        }
        return cost;
    }

    /** Seconds of a start of {@code f} on the best node other than {@code except}; at worst the registry's. */
    double bestSeconds(int f, int except) {
        double best = instance.unstagedSeconds(f);
        for (int n = 0; n < nodes.length; n++) {
            if (n != except) {
                best = Math.min(best, nodes[n].seconds(f));
            }
        }
        return best;
    }

    /** By function, what its starts would cost without this node: what it is worth to take them there. */
    double[] rewards(int node) {
        double[] reward = new double[instance.functions()];
        for (int f = 0; f < reward.length; f++) {
            reward[f] = instance.starts(f) * bestSeconds(f, node);
        }
        return reward;
    }

    /**
     * Replaces one node's contents if that lowers the total.
     *
     * @param reward from {@link #rewards} of that node
     * @return whether it did
     */
    boolean improve(int node, Pattern candidate, double[] reward) {
        Pattern now = Packing.serving(nodes[node].of(), nodes[node].choice(), reward);
        double before = Packing.value(now, reward);
        double after = Packing.value(candidate, reward);
        if (after <= before + EPSILON * (1 + Math.abs(before))) {
            return false;
        }
        nodes[node] = candidate;
        return true;
    }

    /**
     * Leaves out, node by node, what no start would read, then puts back what is there already as far as there is room.
     * Never raises the cost.
     */
    void settle() {
        for (int n = 0; n < nodes.length; n++) {
            nodes[n] = Packing.serving(nodes[n].of(), nodes[n].choice(), rewards(n));
        }
        for (int n = 0; n < nodes.length; n++) {
            Packing packing = new Packing(nodes[n].of(), Packing.registryRewards(instance));
            packing.hold(nodes[n].choice());
            packing.keepHeld();
            byte[] choice = new byte[instance.groups()];
            packing.copyChoice(choice);
            nodes[n] = Pattern.of(nodes[n].of(), choice, nodes[n].serves());
        }
    }

    /** The nodes on which {@code f} starts fastest, if any is faster than the registry. */
    List<Integer> fastest(int f) {
        List<Integer> fastest = new ArrayList<>();
        double best = bestSeconds(f, -1);
        if (instance.starts(f) <= 0 || best >= instance.unstagedSeconds(f) - EPSILON) {
            return fastest;
        }
        for (int n = 0; n < nodes.length; n++) {
            if (nodes[n].seconds(f) <= best + EPSILON) {
                fastest.add(n);
            }
        }
        return fastest;
    }
}

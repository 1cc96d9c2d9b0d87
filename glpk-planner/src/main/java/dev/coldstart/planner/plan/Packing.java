package dev.coldstart.planner.plan;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Fills one node greedily: which functions' starts to take for a given reward each, and what to hold for them. The
 * greedy half of pricing, and of the plan without a solver. Single-threaded, used once.
 */
final class Packing {
    private static final double EPSILON = 1e-9;
    private static final Comparator<Candidate> BY_SCORE = Comparator.comparingDouble(c -> c.score);

    /** What decides which function is added next. */
    enum Rule {
        /** Gain per share of the node's capacity. */
        DENSITY,
        /** Gain alone. */
        GAIN
    }

    private final NodeClass of;
    private final Instance instance;
    private final double[] reward;

    private final @Nullable Option[] held;
    private final BitSet serves = new BitSet();
    /** Starts of the functions taken so far, by group. */
    private final double[] weight;

    private long ramFree;
    private long diskFree;

    /** @param reward by function, what taking all of its starts is worth, in seconds */
    Packing(NodeClass of, double[] reward) {
        this.of = of;
        this.instance = of.instance();
        this.reward = reward;
        held = new Option[instance.groups()];
        weight = new double[instance.groups()];
        ramFree = of.ramBytes();
        diskFree = of.diskBytes();
    }

    /** The best node contents that this greedy finds for the rewards. */
    static Pattern best(NodeClass of, double[] reward, Rule rule) {
        Packing packing = new Packing(of, reward);
        packing.addFunctions(rule);
        Pattern best = packing.pattern();
        double bestValue = value(best, reward);
        for (int round = 0; round < 3 && !best.serves().isEmpty(); round++) {
            Packing again = new Packing(of, reward);
            again.repack(best.serves());
            again.addFunctions(rule);
            Pattern pattern = again.pattern();
            double value = value(pattern, reward);
            if (value <= bestValue + EPSILON) {
                break;
            }
            best = pattern;
            bestValue = value;
        }
        return best;
    }

    /** Rewards less costs. */
    static double value(Pattern pattern, double[] reward) {
        double value = -pattern.cost();
        BitSet serves = pattern.serves();
        for (int f = serves.nextSetBit(0); f >= 0; f = serves.nextSetBit(f + 1)) {
            value += reward[f];
        }
        return value;
    }

    /** With these holdings, the starts that are worth taking; holdings that no such start reads are left out. */
    static Pattern serving(NodeClass of, byte[] choice, double[] reward) {
        Instance instance = of.instance();
        BitSet serves = new BitSet();
        for (int f = 0; f < instance.functions(); f++) {
            if (instance.starts(f) > 0 && reward[f] - instance.starts(f) * Pattern.seconds(of, choice, f) > EPSILON) {
                serves.set(f);
            }
        }
        byte[] used = new byte[choice.length];
        for (int f = serves.nextSetBit(0); f >= 0; f = serves.nextSetBit(f + 1)) {
            for (int g : instance.groupsOf(f)) {
                used[g] = choice[g];
            }
        }
        return Pattern.of(of, used, serves);
    }

    /** Keeps what is there of groups not held so far, as far as it fits; what saves most per byte first. */
    void keepHeld() {
        record Kept(int group, Option option, double density) {}
        List<Kept> candidates = new ArrayList<>();
        for (int g = 0; g < held.length; g++) {
            double starts = 0;
            for (int f : instance.usersOf(g)) {
                starts += instance.starts(f);
            }
            Option best = null;
            for (Option o : held[g] == null ? of.options(g) : new Option[0]) {
                if (o.fetched() == 0 && (best == null || o.seconds() < best.seconds())) {
                    best = o;
                }
            }
            if (best != null) {
                candidates.add(new Kept(g, best, starts * best.saved() / (best.ramBytes() + best.diskBytes())));
            }
        }
        candidates.sort(Comparator.comparingDouble(Kept::density).reversed());
        for (Kept k : candidates) {
            if (k.option().ramBytes() <= ramFree && k.option().diskBytes() <= diskFree) {
                hold(k.group(), k.option());
            }
        }
    }

    /** Starts from these holdings, which must fit. */
    void hold(byte[] choice) {
        for (int g = 0; g < choice.length; g++) {
            hold(g, of.option(g, choice[g]));
        }
    }

    void copyChoice(byte[] choice) {
        for (int g = 0; g < choice.length; g++) {
            Option o = held[g];
            choice[g] = (byte) (o == null ? Option.NONE : o.index());
        }
    }

    private Pattern pattern() {
        byte[] choice = new byte[held.length];
        copyChoice(choice);
        return serving(of, choice, reward);
    }

    private void hold(int g, @Nullable Option option) {
        Option before = held[g];
        if (before != null) {
            ramFree += before.ramBytes();
            diskFree += before.diskBytes();
        }
        if (option != null) {
            ramFree -= option.ramBytes();
            diskFree -= option.diskBytes();
        }
        held[g] = option;
    }

    private static double worth(@Nullable Option o, double starts) {
        return o == null ? 0 : starts * o.saved() - o.moveCost();
    }

    /** A function with the score it had when it was last looked at, and how its groups would be held. */
    private final class Candidate {
        private final int function;
        private @Nullable Option[] options = {};
        private double score;

        Candidate(int function) {
            this.function = function;
        }

        void look(Rule rule) {
            score = 0;
            for (int tier = 0; tier < 2; tier++) {
                @Nullable Option[] chosen = new Option[instance.groupsOf(function).length];
                double found = tryAdd(function, tier == 0, rule, chosen);
                if (found > score) {
                    score = found;
                    options = chosen;
                }
            }
        }
    }

    /**
     * Adds functions one by one while there is a gain. Scores mostly fall as the node fills, so only the best is looked
     * at again; those that share a group with a new one may rise, and are looked at again too.
     */
    private void addFunctions(Rule rule) {
        List<Candidate> candidates = new ArrayList<>();
        for (int f = 0; f < instance.functions(); f++) {
            if (!serves.get(f) && instance.starts(f) > 0) {
                Candidate c = new Candidate(f);
                c.look(rule);
                candidates.add(c);
            }
        }
        while (true) {
            Candidate best = candidates.isEmpty() ? null : Collections.max(candidates, BY_SCORE);
            if (best == null || best.score <= 0) {
                return;
            }
            double before = best.score;
            best.look(rule);
            if (best.score < before * 0.999) {
                continue;
            }
            candidates.remove(best);
            take(best.function);
            int[] groups = instance.groupsOf(best.function);
            BitSet again = new BitSet();
            for (int i = 0; i < groups.length; i++) {
                hold(groups[i], best.options[i]);
                for (int f : instance.usersOf(groups[i])) {
                    again.set(f);
                }
            }
            for (Candidate c : candidates) {
                if (again.get(c.function)) {
                    c.look(rule);
                }
            }
        }
    }

    private void take(int f) {
        serves.set(f);
        for (int g : instance.groupsOf(f)) {
            weight[g] += instance.starts(f);
        }
    }

    /** The score of taking {@code f} too, 0 when there is no gain; fills in what its groups would become. */
    private double tryAdd(int f, boolean allowRam, Rule rule, @Nullable Option[] chosen) {
        double starts = instance.starts(f);
        double gain = reward[f] - starts * instance.unstagedSeconds(f);
        long ramBefore = ramFree;
        long diskBefore = diskFree;
        int[] groups = instance.groupsOf(f);
        long ramLeft = ramFree;
        long diskLeft = diskFree;
        for (int i = 0; i < groups.length; i++) {
            int g = groups[i];
            Option now = held[g];
            long ramRoom = ramLeft + (now == null ? 0 : now.ramBytes());
            long diskRoom = diskLeft + (now == null ? 0 : now.diskBytes());
            Option best = now;
            double bestWorth = worth(now, weight[g] + starts);
            for (Option o : of.options(g)) {
                boolean fits = o.ramBytes() <= ramRoom && o.diskBytes() <= diskRoom;
                if (fits && (allowRam || o.ramBytes() <= (now == null ? 0 : now.ramBytes()))) {
                    double worth = worth(o, weight[g] + starts);
                    if (worth > bestWorth + EPSILON) {
                        best = o;
                        bestWorth = worth;
                    }
                }
            }
            chosen[i] = best;
            gain += bestWorth - worth(now, weight[g]);
            ramLeft = ramRoom - (best == null ? 0 : best.ramBytes());
            diskLeft = diskRoom - (best == null ? 0 : best.diskBytes());
        }
        if (gain <= EPSILON) {
            return 0;
        }
        return switch (rule) {
            case GAIN -> gain;
            case DENSITY -> {
                double share = share(ramBefore - ramLeft, of.ramBytes()) + share(diskBefore - diskLeft, of.diskBytes());
                yield gain / (Math.max(0, share) + 1e-6);
            }
        };
    }

    private static double share(long used, long capacity) {
        return capacity == 0 ? 0 : (double) used / capacity;
    }

    /** Packs the groups of these functions anew: the most valuable into RAM, then onto the disk. */
    private void repack(BitSet functions) {
        for (int f = functions.nextSetBit(0); f >= 0; f = functions.nextSetBit(f + 1)) {
            take(f);
        }
        record Way(int group, Option option, double density) {}
        List<Way> ram = new ArrayList<>();
        List<Way> disk = new ArrayList<>();
        for (int g = 0; g < held.length; g++) {
            for (Option o : of.options(g)) {
                double worth = worth(o, weight[g]);
                if (weight[g] > 0 && worth > EPSILON) {
                    boolean inRam = o.ramBytes() > 0;
                    long bytes = inRam ? o.ramBytes() : o.diskBytes();
                    (inRam ? ram : disk).add(new Way(g, o, worth / bytes));
                }
            }
        }
        Comparator<Way> densest = Comparator.comparingDouble(Way::density).reversed();
        ram.sort(densest);
        disk.sort(densest);
        for (List<Way> tier : List.of(ram, disk)) {
            for (Way c : tier) {
                Option o = c.option();
                if (held[c.group()] == null && o.ramBytes() <= ramFree && o.diskBytes() <= diskFree) {
                    hold(c.group(), o);
                }
            }
        }
    }

    /** Rewards at which a start taken is worth exactly what it costs from the registry. */
    static double[] registryRewards(Instance instance) {
        double[] reward = new double[instance.functions()];
        Arrays.setAll(reward, f -> instance.starts(f) * instance.unstagedSeconds(f));
        return reward;
    }
}

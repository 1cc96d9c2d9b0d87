package dev.coldstart.planner.plan;

import java.util.Arrays;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/** What one node of a class holds, and which functions' starts it takes. Immutable: nobody changes what it hands out. */
final class Pattern {
    private final NodeClass of;
    private final double cost;
    private final byte[] choice;
    private final BitSet serves;

    private Pattern(NodeClass of, double cost, byte[] choice, BitSet serves) {
        this.of = of;
        this.cost = cost;
        this.choice = choice;
        this.serves = serves;
    }

    NodeClass of() {
        return of;
    }

    /** Seconds of the starts it takes plus the price of getting there. */
    double cost() {
        return cost;
    }

    /** By group, an {@link Option#index}. */
    byte[] choice() {
        return choice;
    }

    /** The functions whose starts it takes. */
    BitSet serves() {
        return serves;
    }

    /** Takes the arguments over. */
    static Pattern of(NodeClass c, byte[] choice, BitSet serves) {
        double cost = moveCost(c, choice);
        for (int f = serves.nextSetBit(0); f >= 0; f = serves.nextSetBit(f + 1)) {
            cost += c.instance().starts(f) * seconds(c, choice, f);
        }
        return new Pattern(c, cost, choice, serves);
    }

    /** Holds nothing, takes nothing. */
    static Pattern empty(NodeClass c) {
        return new Pattern(c, 0, new byte[c.instance().groups()], new BitSet());
    }

    /** The node as it is, as far as it fits its capacities; what fits least well goes first. Takes no starts. */
    static Pattern asIs(NodeClass c) {
        Instance instance = c.instance();
        byte[] choice = new byte[instance.groups()];
        Packing packing = new Packing(c, Packing.registryRewards(instance));
        packing.keepHeld();
        packing.copyChoice(choice);
        return new Pattern(c, 0, choice, new BitSet());
    }

    /** Seconds of one start of {@code f} here. */
    double seconds(int f) {
        return seconds(of, choice, f);
    }

    static double seconds(NodeClass c, byte[] choice, int f) {
        double seconds = c.instance().unstagedSeconds(f);
        for (int g : c.instance().groupsOf(f)) {
            Option o = c.option(g, choice[g]);
            if (o != null) {
                seconds -= o.saved();
            }
        }
        return seconds;
    }

    double moveCost() {
        return moveCost(of, choice);
    }

    private static double moveCost(NodeClass c, byte[] choice) {
        double cost = 0;
        for (int g = 0; g < choice.length; g++) {
            Option o = c.option(g, choice[g]);
            if (o != null) {
                cost += o.moveCost();
            }
        }
        return cost;
    }

    /** The same holdings on a node of another class, taking the same starts; null when they do not fit there. */
    @Nullable
    Pattern on(NodeClass other) {
        byte[] moved = new byte[choice.length];
        long ram = 0;
        long disk = 0;
        for (int g = 0; g < choice.length; g++) {
            if (choice[g] == Option.NONE) {
                continue;
            }
            Option o = other.option(g, choice[g]);
            if (o == null) {
                continue;
            }
            moved[g] = choice[g];
            ram += o.ramBytes();
            disk += o.diskBytes();
        }
        if (ram > other.ramBytes() || disk > other.diskBytes()) {
            return null;
        }
        return of(other, moved, serves);
    }

    /** Two patterns of one class with equal holdings and starts are one column. */
    boolean sameAs(Pattern other) {
        return of == other.of && Arrays.equals(choice, other.choice) && serves.equals(other.serves);
    }

    int identity() {
        return 31 * (31 * System.identityHashCode(of) + Arrays.hashCode(choice)) + serves.hashCode();
    }
}

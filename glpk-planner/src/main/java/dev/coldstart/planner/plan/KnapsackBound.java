package dev.coldstart.planner.plan;

/**
 * A lower bound on what the best contents of a node cost less rewards, without a solver, in about a millisecond.
 *
 * <p>Two relaxations: the bytes of a shared group are charged to its functions in proportion to their starts, whether or
 * not all of them are taken; and each tier's capacity becomes a price per GiB. What is left falls apart into functions
 * and groups. Any prices give a bound; the best are looked for tier by tier. Single-threaded, used once.
 */
final class KnapsackBound {
    private static final double GIB = 1L << 30;
    private static final int SWEEPS = 3;
    private static final int HALVINGS = 24;

    private final NodeClass of;
    private final Instance instance;
    private final double[] reward;
    private final double[] groupStarts;
    private double ramPrice;
    private double diskPrice;
    private double ramUsed;
    private double diskUsed;

    private KnapsackBound(NodeClass of, double[] reward) {
        this.of = of;
        this.instance = of.instance();
        this.reward = reward;
        groupStarts = new double[instance.groups()];
        for (int g = 0; g < groupStarts.length; g++) {
            for (int f : instance.usersOf(g)) {
                groupStarts[g] += instance.starts(f);
            }
        }
    }

    /** At most 0; no pattern of this class has a smaller cost less rewards. */
    static double of(NodeClass c, double[] reward) {
        KnapsackBound bound = new KnapsackBound(c, reward);
        return -bound.smallest();
    }

    private double smallest() {
        double best = value();
        double highest = highestPrice();
        for (int sweep = 0; sweep < SWEEPS; sweep++) {
            for (int tier = 0; tier < 2; tier++) {
                double low = 0;
                double high = highest;
                for (int i = 0; i < HALVINGS; i++) {
                    double middle = (low + high) / 2;
                    if (tier == 0) {
                        ramPrice = middle;
                    } else {
                        diskPrice = middle;
                    }
                    best = Math.min(best, value());
                    // Too much is wanted at this price: the minimum lies above.
                    boolean over = tier == 0 ? ramUsed > of.ramBytes() / GIB : diskUsed > of.diskBytes() / GIB;
                    if (over) {
                        low = middle;
                    } else {
                        high = middle;
                    }
                }
            }
        }
        return best;
    }

    /** Above it nothing is worth its room. */
    private double highestPrice() {
        double highest = 0;
        for (int g = 0; g < groupStarts.length; g++) {
            for (Option o : of.options(g)) {
                double perGib = groupStarts[g] * o.saved() / (Math.max(1, o.ramBytes() + o.diskBytes()) / GIB);
                highest = Math.max(highest, perGib);
            }
        }
        return highest;
    }

    /** The relaxation's gain at the prices; leaves what it uses in the fields. */
    private double value() {
        double sum = ramPrice * of.ramBytes() / GIB + diskPrice * of.diskBytes() / GIB;
        ramUsed = 0;
        diskUsed = 0;
        for (int f = 0; f < reward.length; f++) {
            double starts = instance.starts(f);
            if (starts <= 0) {
                continue;
            }
            double gain = reward[f] - starts * instance.unstagedSeconds(f);
            double ram = 0;
            double disk = 0;
            for (int g : instance.groupsOf(f)) {
                double share = starts / groupStarts[g];
                double best = 0;
                double bestRam = 0;
                double bestDisk = 0;
                for (Option o : of.options(g)) {
                    double room = (ramPrice * o.ramBytes() + diskPrice * o.diskBytes()) / GIB;
                    double worth = starts * o.saved() - share * (o.moveCost() + room);
                    if (worth > best) {
                        best = worth;
                        bestRam = share * o.ramBytes() / GIB;
                        bestDisk = share * o.diskBytes() / GIB;
                    }
                }
                gain += best;
                ram += bestRam;
                disk += bestDisk;
            }
            if (gain > 0) {
                sum += gain;
                ramUsed += ram;
                diskUsed += disk;
            }
        }
        return sum;
    }
}

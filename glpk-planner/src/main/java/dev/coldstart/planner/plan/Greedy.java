package dev.coldstart.planner.plan;

/** The plan without a solver: each node in turn gets the greedy best for what the others leave, until nothing improves. */
final class Greedy {
    private static final int MAX_ROUNDS = 8;

    private Greedy() {}

    /** @param deadline {@link System#nanoTime} after which the layout so far is good enough */
    static Layout plan(Instance instance, long deadline) {
        Layout layout = Layout.asIs(instance);
        improve(instance, layout, deadline);
        return layout;
    }

    /** Improves in place. */
    static void improve(Instance instance, Layout layout, long deadline) {
        boolean improved = true;
        for (int round = 0; round < MAX_ROUNDS && improved; round++) {
            improved = false;
            for (int n = 0; n < instance.nodes(); n++) {
                if (System.nanoTime() - deadline > 0) {
                    return;
                }
                double[] reward = layout.rewards(n);
                for (Packing.Rule rule : Packing.Rule.values()) {
                    Pattern candidate = Packing.best(instance.classOf(n), reward, rule);
                    improved |= layout.improve(n, candidate, reward);
                }
            }
        }
    }
}

package dev.coldstart.planner.plan;

/**
 * One way a node may hold one group after the plan: bytes in each tier. What the group already has there is not moved.
 *
 * @param index {@code 3 * ram + disk}, each level 0 (nothing), 1 (the part that is there already) or 2 (all)
 * @param ramBytes bytes in RAM
 * @param diskBytes bytes on disk
 * @param fetched bytes that must be written to get there
 * @param seconds time to read the group for one start
 * @param saved seconds of one start that it saves over reading all from the registry; always positive
 * @param moveCost price of {@code fetched}, in seconds
 */
record Option(int index, long ramBytes, long diskBytes, long fetched, double seconds, double saved, double moveCost) {
    static final int LEVELS = 3;
    static final int COUNT = LEVELS * LEVELS;
    /** The index of holding nothing. */
    static final int NONE = 0;

    boolean dominatedBy(Option other) {
        return other.ramBytes <= ramBytes
                && other.diskBytes <= diskBytes
                && other.seconds <= seconds
                && other.moveCost <= moveCost;
    }
}

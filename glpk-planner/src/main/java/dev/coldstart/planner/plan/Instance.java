package dev.coldstart.planner.plan;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A validated planning problem in numbers: functions, groups and nodes by index. Immutable.
 *
 * <p>The cost of a plan, in seconds: for each function the cold starts expected in the epoch times the time of a start
 * on the best node, plus the price of the bytes that must be written into a tier. A start takes the function's fixed
 * seconds plus, for each group, its bytes over the rate of the tier that holds them; what no tier holds comes from the
 * registry.
 */
public final class Instance {
    private static final double GIB = 1L << 30;

    private final List<String> functionNames;
    private final List<String> groupNames;
    private final List<String> nodeNames;
    /** Cold starts in the epoch. */
    private final double[] starts;
    /** Seconds of a start with every group read from the registry. */
    private final double[] unstagedSeconds;

    private final int[][] groupsOf;
    private final int[][] usersOf;
    private final long[] groupBytes;
    private final double ramRate;
    private final double diskRate;
    private final double registryRate;
    private final double moveCostPerByte;
    private final long[] ramBytes;
    private final long[] diskBytes;
    private final long[][] presentRam;
    private final long[][] presentDisk;
    private final List<NodeClass> classes;
    private final int[] classOf;

    /** What a function needs. */
    public record Demand(String name, double starts, double fixedSeconds, List<Integer> groups) {}

    /** Bytes with one name that are staged together. */
    public record Part(String name, long bytes) {}

    /** A node: capacities, and bytes present by group index. */
    public record Node(
            String name, long ramBytes, long diskBytes, Map<Integer, Long> inRam, Map<Integer, Long> onDisk) {}

    /** Bytes per second into a starting process. */
    public record Speeds(double ram, double disk, double registry) {}

    /**
     * Indices in the arguments are positions in the lists.
     *
     * @param moveCostPerGib seconds of cold start that writing one GiB must save
     */
    public Instance(List<Demand> functions, List<Part> groups, List<Node> nodes, Speeds speeds, double moveCostPerGib) {
        functionNames = functions.stream().map(Demand::name).toList();
        groupNames = groups.stream().map(Part::name).toList();
        nodeNames = nodes.stream().map(Node::name).toList();
        groupBytes = groups.stream().mapToLong(Part::bytes).toArray();
        ramRate = speeds.ram();
        diskRate = speeds.disk();
        registryRate = speeds.registry();
        moveCostPerByte = moveCostPerGib / GIB;
        starts = functions.stream().mapToDouble(Demand::starts).toArray();
        groupsOf = functions.stream()
                .map(f -> f.groups().stream().mapToInt(Integer::intValue).toArray())
                .toArray(int[][]::new);
        unstagedSeconds = new double[functions.size()];
        List<List<Integer>> users = new ArrayList<>();
        for (int g = 0; g < groups.size(); g++) {
            users.add(new ArrayList<>());
        }
        for (int f = 0; f < functions.size(); f++) {
            unstagedSeconds[f] = functions.get(f).fixedSeconds();
            for (int g : groupsOf[f]) {
                unstagedSeconds[f] += groupBytes[g] / registryRate;
                if (starts[f] > 0) {
                    users.get(g).add(f);
                }
            }
        }
        usersOf = users.stream()
                .map(u -> u.stream().mapToInt(Integer::intValue).toArray())
                .toArray(int[][]::new);
        ramBytes = nodes.stream().mapToLong(Node::ramBytes).toArray();
        diskBytes = nodes.stream().mapToLong(Node::diskBytes).toArray();
        presentRam = new long[nodes.size()][];
        presentDisk = new long[nodes.size()][];
        for (int n = 0; n < nodes.size(); n++) {
            presentRam[n] = present(nodes.get(n).inRam());
            presentDisk[n] = present(nodes.get(n).onDisk());
        }
        classOf = new int[nodes.size()];
        classes = classify();
    }

    private long[] present(Map<Integer, Long> held) {
        long[] bytes = new long[groupBytes.length];
        held.forEach((g, b) -> bytes[g] = Math.min(b, groupBytes[g]));
        return bytes;
    }

    private record ClassKey(long ram, long disk, List<Long> present) {}

    private List<NodeClass> classify() {
        Map<ClassKey, List<Integer>> members = new LinkedHashMap<>();
        for (int n = 0; n < nodes(); n++) {
            List<Long> present = new ArrayList<>();
            for (int g = 0; g < groups(); g++) {
                // What no start needs does not tell two nodes apart.
                if (usersOf[g].length > 0) {
                    present.add(presentRam[n][g]);
                    present.add(presentDisk[n][g]);
                }
            }
            members.computeIfAbsent(new ClassKey(ramBytes[n], diskBytes[n], present), k -> new ArrayList<>())
                    .add(n);
        }
        List<NodeClass> result = new ArrayList<>();
        for (List<Integer> nodes : members.values()) {
            for (int n : nodes) {
                classOf[n] = result.size();
            }
            result.add(new NodeClass(
                    this, nodes.stream().mapToInt(Integer::intValue).toArray()));
        }
        return List.copyOf(result);
    }

    int functions() {
        return starts.length;
    }

    int groups() {
        return groupBytes.length;
    }

    int nodes() {
        return ramBytes.length;
    }

    String function(int f) {
        return functionNames.get(f);
    }

    String group(int g) {
        return groupNames.get(g);
    }

    String node(int n) {
        return nodeNames.get(n);
    }

    double starts(int f) {
        return starts[f];
    }

    /** Seconds of one start of {@code f} that reads everything from the registry. */
    double unstagedSeconds(int f) {
        return unstagedSeconds[f];
    }

    /** The groups of {@code f}; not to be changed. */
    int[] groupsOf(int f) {
        return groupsOf[f];
    }

    /** The functions with planned starts that read {@code g}; not to be changed. */
    int[] usersOf(int g) {
        return usersOf[g];
    }

    long bytes(int g) {
        return groupBytes[g];
    }

    long ramBytes(int node) {
        return ramBytes[node];
    }

    long diskBytes(int node) {
        return diskBytes[node];
    }

    long presentRam(int node, int g) {
        return presentRam[node][g];
    }

    long presentDisk(int node, int g) {
        return presentDisk[node][g];
    }

    List<NodeClass> classes() {
        return classes;
    }

    NodeClass classOf(int node) {
        return classes.get(classOf[node]);
    }

    /** Seconds to read {@code g} when so many bytes of it are in the tiers; the disk's are taken to include RAM's. */
    double readSeconds(int g, long inRam, long onDisk) {
        long disk = Math.max(0, onDisk - inRam);
        long registry = groupBytes[g] - inRam - disk;
        return inRam / ramRate + disk / diskRate + registry / registryRate;
    }

    double moveCost(long bytes) {
        return bytes * moveCostPerByte;
    }

    /** Cost of starting everything from the registry: the price of a plan that does nothing on empty nodes. */
    double unstagedCost() {
        double sum = 0;
        for (int f = 0; f < functions(); f++) {
            sum += starts[f] * unstagedSeconds[f];
        }
        return sum;
    }

    /** Cost of the nodes as they are, and nothing moved. */
    public double unplannedCost() {
        double[] best = new double[functions()];
        Arrays.setAll(best, this::unstagedSeconds);
        for (NodeClass c : classes) {
            int node = c.representative();
            for (int f = 0; f < functions(); f++) {
                double seconds = unstagedSeconds[f];
                for (int g : groupsOf[f]) {
                    seconds += readSeconds(g, presentRam[node][g], presentDisk[node][g]) - groupBytes[g] / registryRate;
                }
                best[f] = Math.min(best[f], seconds);
            }
        }
        double sum = 0;
        for (int f = 0; f < functions(); f++) {
            sum += starts[f] * best[f];
        }
        return sum;
    }
}

package dev.coldstart.planner.plan;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Seeded instances. */
final class Generated {
    private static final long GIB = 1L << 30;
    private static final long MIB = 1L << 20;

    private Generated() {}

    /** Few functions that share groups, tight capacities, some bytes in place already: small enough to try everything. */
    static Instance tiny(long seed) {
        Random random = new Random(seed);
        int groupCount = 3 + random.nextInt(3);
        int functionCount = 2 + random.nextInt(3);
        List<Instance.Part> groups = new ArrayList<>();
        for (int g = 0; g < groupCount; g++) {
            groups.add(new Instance.Part("g" + g, (1 + random.nextInt(8)) * GIB / 2));
        }
        List<Instance.Demand> functions = new ArrayList<>();
        for (int f = 0; f < functionCount; f++) {
            List<Integer> used = new ArrayList<>();
            for (int g = 0; g < groupCount; g++) {
                if (random.nextInt(3) == 0 || g == f) {
                    used.add(g);
                }
            }
            functions.add(new Instance.Demand("f" + f, random.nextInt(20) / 2.0, random.nextDouble(), used));
        }
        List<Instance.Node> nodes = new ArrayList<>();
        for (int n = 0; n < 2; n++) {
            Map<Integer, Long> inRam = new HashMap<>();
            Map<Integer, Long> onDisk = new HashMap<>();
            long ram = 2 * GIB * random.nextInt(3);
            long disk = (2 + random.nextInt(6)) * GIB;
            long free = disk;
            for (int g = 0; g < groupCount; g++) {
                long present = groups.get(g).bytes() / (1 + random.nextInt(2));
                if (random.nextInt(3) == 0 && present <= free) {
                    onDisk.put(g, present);
                    free -= present;
                }
            }
            nodes.add(new Instance.Node("n" + n, ram, disk, inRam, onDisk));
        }
        return new Instance(functions, groups, nodes, new Instance.Speeds(8e9, 2e9, 0.1e9), random.nextInt(3) * 2.0);
    }

    /**
     * Of the shape of a serverless GPU fleet (cluster-trace-v2026-GenAI): popularity falls like rank^-1.3, so that the
     * first of 87 models has about a third of the starts; each function reads a base that many share, a library layer
     * that some share, and two groups of its own, of the model's and the snapshot's size.
     *
     * @param holding share of the nodes' disks that is filled beforehand
     */
    static Instance fleet(long seed, int functionCount, int nodeCount, double holding) {
        Random random = new Random(seed);
        List<Instance.Part> groups = new ArrayList<>();
        int bases = Math.max(1, functionCount / 12);
        int libraries = Math.max(1, functionCount / 4);
        for (int i = 0; i < bases; i++) {
            groups.add(new Instance.Part("base" + i, (300 + random.nextInt(3700)) * MIB));
        }
        for (int i = 0; i < libraries; i++) {
            groups.add(new Instance.Part("library" + i, (100 + random.nextInt(1900)) * MIB));
        }
        List<Instance.Demand> functions = new ArrayList<>();
        double scale = 0;
        for (int f = 0; f < functionCount; f++) {
            scale += Math.pow(f + 1, -1.3);
        }
        for (int f = 0; f < functionCount; f++) {
            int first = groups.size();
            groups.add(new Instance.Part(
                    "model" + f, (500 + (long) (Math.pow(random.nextDouble(), 2) * 15_500)) * MIB));
            groups.add(new Instance.Part("snapshot" + f, (200 + random.nextInt(3800)) * MIB));
            List<Integer> used = new ArrayList<>(List.of(random.nextInt(bases)));
            used.add(bases + random.nextInt(libraries));
            used.add(first);
            used.add(first + 1);
            double starts = 8.0 * nodeCount * Math.pow(f + 1, -1.3) / scale;
            functions.add(new Instance.Demand("model" + f, starts, 0.5 + random.nextDouble() * 2, used));
        }
        List<Instance.Node> nodes = new ArrayList<>();
        for (int n = 0; n < nodeCount; n++) {
            long disk = 80 * GIB;
            long room = (long) (disk * holding);
            Map<Integer, Long> onDisk = new HashMap<>();
            for (int tries = 0; tries < 200; tries++) {
                int g = random.nextInt(groups.size());
                if (groups.get(g).bytes() <= room && !onDisk.containsKey(g)) {
                    onDisk.put(g, groups.get(g).bytes());
                    room -= groups.get(g).bytes();
                }
            }
            nodes.add(new Instance.Node("node" + n, 40 * GIB, disk, Map.of(), onDisk));
        }
        return new Instance(functions, groups, nodes, new Instance.Speeds(20e9, 4e9, 0.6e9), 0.5);
    }
}

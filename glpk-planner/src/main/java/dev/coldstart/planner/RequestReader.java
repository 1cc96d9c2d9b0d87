package dev.coldstart.planner;

import dev.coldstart.planner.plan.Instance;
import dev.coldstart.proto.v1.Function;
import dev.coldstart.proto.v1.Group;
import dev.coldstart.proto.v1.Holding;
import dev.coldstart.proto.v1.NodeInventory;
import dev.coldstart.proto.v1.PlanRequest;
import dev.coldstart.proto.v1.Rates;
import dev.coldstart.proto.v1.Tier;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Checks a request and turns it into an {@link Instance}. Every refusal is one sentence that names the part. */
final class RequestReader {
    /** 16 EiB would overflow sums; no node has this much. */
    private static final long MAX_BYTES = 1L << 56;

    private static final double SECONDS_PER_HOUR = 3600;

    private final PlanRequest request;
    /** Index and bytes of every group, in order: the request's own, then those that nodes hold besides. */
    private final Map<String, Integer> groupIndex = new HashMap<>();

    private final List<Instance.Part> groups = new ArrayList<>();

    private RequestReader(PlanRequest request) {
        this.request = request;
    }

    /** @throws IllegalArgumentException when the request makes no sense */
    static Instance read(PlanRequest request) {
        return new RequestReader(request).instance();
    }

    private Instance instance() {
        require(request.getNodesCount() > 0, "nodes is empty: there is nothing to plan for");
        require(request.hasRates(), "rates is missing: bytes per second from RAM, disk and registry");
        Rates rates = request.getRates();
        positive(rates.getRam(), "rates.ram");
        positive(rates.getDisk(), "rates.disk");
        positive(rates.getRegistry(), "rates.registry");
        notNegative(request.getMoveCostSecondsPerGib(), "move_cost_seconds_per_gib");
        positive(request.getHorizonSeconds(), "horizon_seconds");
        for (int i = 0; i < request.getGroupsCount(); i++) {
            Group group = request.getGroups(i);
            named(group.getName(), "groups[" + i + "]");
            bytes(group.getBytes(), "bytes of group " + group.getName());
            require(groupIndex.putIfAbsent(group.getName(), i) == null, "group " + group.getName() + " is given twice");
            groups.add(new Instance.Part(group.getName(), group.getBytes()));
        }
        List<Instance.Demand> functions = functions();
        List<Instance.Node> nodes = nodes();
        return new Instance(
                functions,
                groups,
                nodes,
                new Instance.Speeds(rates.getRam(), rates.getDisk(), rates.getRegistry()),
                request.getMoveCostSecondsPerGib());
    }

    private List<Instance.Demand> functions() {
        Map<String, Instance.Demand> functions = new LinkedHashMap<>();
        for (int i = 0; i < request.getFunctionsCount(); i++) {
            Function function = request.getFunctions(i);
            String name = function.getName();
            named(name, "functions[" + i + "]");
            notNegative(function.getColdStartsPerHour(), "cold_starts_per_hour of function " + name);
            notNegative(function.getFixedSeconds(), "fixed_seconds of function " + name);
            List<Integer> used = new ArrayList<>();
            for (String group : function.getGroupsList()) {
                Integer index = groupIndex.get(group);
                require(index != null, "function " + name + " reads the group " + group + ", which is not in groups");
                require(!used.contains(index), "function " + name + " names the group " + group + " twice");
                used.add(index);
            }
            double starts = function.getColdStartsPerHour() * request.getHorizonSeconds() / SECONDS_PER_HOUR;
            require(Double.isFinite(starts), "cold_starts_per_hour of function " + name + " is too large");
            require(
                    functions.put(name, new Instance.Demand(name, starts, function.getFixedSeconds(), used)) == null,
                    "function " + name + " is given twice");
        }
        return List.copyOf(functions.values());
    }

    private List<Instance.Node> nodes() {
        Map<String, Instance.Node> nodes = new LinkedHashMap<>();
        for (int i = 0; i < request.getNodesCount(); i++) {
            NodeInventory node = request.getNodes(i);
            String name = node.getNode();
            named(name, "nodes[" + i + "]");
            bytes(node.getRamBytes(), "ram_bytes of node " + name);
            bytes(node.getDiskBytes(), "disk_bytes of node " + name);
            Map<Integer, Long> inRam = new HashMap<>();
            Map<Integer, Long> onDisk = new HashMap<>();
            for (Holding holding : node.getHoldingsList()) {
                String what = holding.getGroup() + " on node " + name;
                require(!holding.getGroup().isEmpty(), "a holding on node " + name + " names no group");
                bytes(holding.getBytesTotal(), "bytes_total of " + what);
                bytes(holding.getBytesPresent(), "bytes_present of " + what);
                require(
                        holding.getBytesPresent() <= holding.getBytesTotal(),
                        "bytes_present of " + what + " is more than its bytes_total");
                if (holding.getBytesPresent() == 0) {
                    continue;
                }
                Map<Integer, Long> tier = switch (holding.getTier()) {
                    case TIER_RAM -> inRam;
                    case TIER_DISK -> onDisk;
                    case TIER_UNKNOWN, UNRECOGNIZED ->
                        throw new IllegalArgumentException("the tier of " + what + " is not given");
                };
                require(
                        tier.put(indexOf(holding), holding.getBytesPresent()) == null,
                        what + " is held twice in " + (holding.getTier() == Tier.TIER_RAM ? "RAM" : "disk"));
            }
            require(
                    nodes.put(name, new Instance.Node(name, node.getRamBytes(), node.getDiskBytes(), inRam, onDisk))
                            == null,
                    "node " + name + " is given twice");
        }
        return List.copyOf(nodes.values());
    }

    /** A group that only a node knows takes room there; no function reads it. */
    private int indexOf(Holding holding) {
        Integer known = groupIndex.get(holding.getGroup());
        if (known != null) {
            return known;
        }
        int index = groups.size();
        groupIndex.put(holding.getGroup(), index);
        groups.add(new Instance.Part(holding.getGroup(), holding.getBytesTotal()));
        return index;
    }

    private static void named(String name, String what) {
        require(!name.isBlank(), what + " has no name");
    }

    private static void positive(double value, String what) {
        require(Double.isFinite(value) && value > 0, what + " is " + value + "; it must be a positive number");
    }

    private static void notNegative(double value, String what) {
        require(Double.isFinite(value) && value >= 0, what + " is " + value + "; it must be a number of at least 0");
    }

    private static void bytes(long value, String what) {
        require(
                value >= 0 && value <= MAX_BYTES,
                what + " is " + Long.toUnsignedString(value) + "; it must be at least 0 and at most 2^56");
    }

    private static void require(boolean condition, String sentence) {
        if (!condition) {
            throw new IllegalArgumentException(sentence);
        }
    }
}

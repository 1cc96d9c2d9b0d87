package dev.coldstart.cli;

import dev.coldstart.cli.demand.Demand;
import dev.coldstart.proto.v1.Function;
import dev.coldstart.proto.v1.Group;
import dev.coldstart.proto.v1.Holding;
import dev.coldstart.proto.v1.NodeInventory;
import dev.coldstart.proto.v1.PlanRequest;
import dev.coldstart.proto.v1.Rates;
import dev.coldstart.proto.v1.Tier;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/** Puts a demand table and what nodes reported together into the planner's request. */
final class PlanQuestion {
    private static final String SNAPSHOT = "snapshot:";
    private static final String LAYER = "layer:";

    private final Demand demand;
    private final List<NodeInventory> nodes;
    private final Map<String, Long> bytes = new LinkedHashMap<>();

    /** Tells which layers an image has: bytes by layer digest. */
    interface Layers {
        Map<String, Long> of(String image);
    }

    private PlanQuestion(Demand demand, List<NodeInventory> reported) {
        this.demand = demand;
        nodes = Stream.concat(reported.stream(), demand.nodes().stream().map(PlanQuestion::inventory))
                .toList();
        for (NodeInventory node : nodes) {
            for (Holding holding : node.getHoldingsList()) {
                bytes.merge(holding.getGroup(), holding.getBytesTotal(), Math::max);
            }
        }
        bytes.putAll(demand.groups());
    }

    /** The request; a name that nobody knows the size of is refused. */
    static PlanRequest ask(Demand demand, List<NodeInventory> reported, Layers layers) {
        return new PlanQuestion(demand, reported).request(layers);
    }

    private PlanRequest request(Layers layers) {
        Set<String> names = new LinkedHashSet<>();
        for (NodeInventory node : nodes) {
            if (!names.add(node.getNode())) {
                throw new CliException("Two nodes call themselves " + node.getNode()
                        + "; give each a node_name of its own in [snapshotter] of its configuration.");
            }
        }
        if (nodes.isEmpty()) {
            throw new CliException(
                    "There is no node to plan for: give --node SOCKET, or [[node]] in the demand table.");
        }
        PlanRequest.Builder request = PlanRequest.newBuilder()
                .addAllNodes(nodes)
                .setMoveCostSecondsPerGib(demand.moveCostSecondsPerGib())
                .setHorizonSeconds(demand.horizonSeconds())
                .setRates(Rates.newBuilder()
                        .setRam(demand.rates().ram())
                        .setDisk(demand.rates().disk())
                        .setRegistry(demand.rates().registry()));
        Set<String> used = new TreeSet<>();
        for (Demand.Function function : demand.functions()) {
            Set<String> groups = groupsOf(function, layers);
            used.addAll(groups);
            request.addFunctions(Function.newBuilder()
                    .setName(function.name())
                    .setColdStartsPerHour(function.coldStartsPerHour())
                    .setFixedSeconds(function.fixedSeconds())
                    .addAllGroups(groups));
        }
        for (String group : used) {
            request.addGroups(Group.newBuilder().setName(group).setBytes(bytes.getOrDefault(group, 0L)));
        }
        return request.build();
    }

    private Set<String> groupsOf(Demand.Function function, Layers layers) {
        Set<String> groups = new LinkedHashSet<>();
        for (String image : function.images()) {
            layers.of(image).forEach((digest, size) -> {
                groups.add(LAYER + digest);
                // A node that holds it knows better what it takes there.
                bytes.putIfAbsent(LAYER + digest, size);
            });
        }
        for (String snapshot : function.snapshots()) {
            groups.add(snapshot(function.name(), snapshot));
        }
        groups.addAll(function.groups());
        for (String group : groups) {
            if (!bytes.containsKey(group)) {
                throw new CliException("The function " + function.name() + " reads " + group
                        + ", which no node reports; give its size as [[group]] in the demand table.");
            }
        }
        return groups;
    }

    private String snapshot(String function, String id) {
        String prefix = id.startsWith(SNAPSHOT) ? id : SNAPSHOT + id;
        List<String> found = new ArrayList<>();
        for (String group : bytes.keySet()) {
            if (group.equals(prefix)) {
                return group;
            }
            if (group.startsWith(prefix)) {
                found.add(group);
            }
        }
        if (found.size() == 1) {
            return found.getFirst();
        }
        throw new CliException("The function " + function + " reads the snapshot " + id + ", which "
                + (found.isEmpty()
                        ? "no node reports."
                        : "is the beginning of " + found.size() + " ids; give more of it."));
    }

    private static NodeInventory inventory(Demand.Node node) {
        NodeInventory.Builder inventory = NodeInventory.newBuilder()
                .setNode(node.name())
                .setRamBytes(node.ramBytes())
                .setDiskBytes(node.diskBytes());
        for (Demand.Held held : node.holdings()) {
            inventory.addHoldings(Holding.newBuilder()
                    .setGroup(held.group())
                    .setBytesTotal(held.bytesTotal())
                    .setBytesPresent(held.bytesPresent())
                    .setTier(held.inRam() ? Tier.TIER_RAM : Tier.TIER_DISK));
        }
        return inventory.build();
    }
}

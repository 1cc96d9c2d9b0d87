package dev.coldstart.planner.plan;

import dev.coldstart.planner.plan.Plan.Act;
import dev.coldstart.planner.plan.Plan.Item;
import dev.coldstart.planner.plan.Plan.NodeContents;
import dev.coldstart.planner.plan.Plan.Where;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** Turns a layout into what to do on each node, and why. Used once. */
final class Explanation {
    private static final int NAMED_FUNCTIONS = 3;

    private final Instance instance;
    private final Search.Outcome outcome;
    /** By node, the share of each function's starts that it takes. */
    private final List<Map<Integer, Double>> starts = new ArrayList<>();

    private record Ranked(Item item, double density) {}

    Explanation(Instance instance, Search.Outcome outcome) {
        this.instance = instance;
        this.outcome = outcome;
        for (int n = 0; n < instance.nodes(); n++) {
            starts.add(new TreeMap<>());
        }
        for (int f = 0; f < instance.functions(); f++) {
            List<Integer> nodes = outcome.layout().fastest(f);
            for (int n : nodes) {
                starts.get(n).put(f, instance.starts(f) / nodes.size());
            }
        }
    }

    Plan plan() {
        List<NodeContents> nodes = new ArrayList<>();
        for (int n = 0; n < instance.nodes(); n++) {
            nodes.add(contents(n));
        }
        return new Plan(
                nodes, outcome.cost(), outcome.bound(), instance.unplannedCost(), outcome.method(), outcome.note());
    }

    private NodeContents contents(int node) {
        Pattern pattern = outcome.layout().at(node);
        List<Ranked> fetched = new ArrayList<>();
        List<Ranked> kept = new ArrayList<>();
        long ram = 0;
        long disk = 0;
        record Spare(int group, Where where, long bytes) {}
        List<Spare> spare = new ArrayList<>();
        for (int g = 0; g < instance.groups(); g++) {
            Option option = pattern.of().option(g, pattern.choice()[g]);
            for (Where where : Where.values()) {
                long wanted = option == null ? 0 : where == Where.RAM ? option.ramBytes() : option.diskBytes();
                long present = where == Where.RAM ? instance.presentRam(node, g) : instance.presentDisk(node, g);
                if (option != null && wanted > 0) {
                    boolean fetch = wanted > present;
                    Item item = new Item(
                            instance.group(g),
                            where,
                            fetch ? Act.FETCH : Act.KEEP,
                            fetch ? wanted - present : wanted,
                            reason(node, g, option));
                    (fetch ? fetched : kept).add(new Ranked(item, saved(node, g, option) / wanted));
                    ram += where == Where.RAM ? wanted : 0;
                    disk += where == Where.DISK ? wanted : 0;
                } else if (present > 0) {
                    spare.add(new Spare(g, where, present));
                }
            }
        }
        // What the plan has no use for stays as long as there is room: what starts read before the rest, then the
        // small.
        spare.sort(Comparator.<Spare>comparingInt(s -> instance.usersOf(s.group()).length > 0 ? 0 : 1)
                .thenComparingLong(Spare::bytes));
        List<Item> items = new ArrayList<>();
        for (Spare s : spare) {
            boolean inRam = s.where() == Where.RAM;
            long room = inRam ? instance.ramBytes(node) - ram : instance.diskBytes(node) - disk;
            String group = instance.group(s.group());
            if (s.bytes() <= room) {
                ram += inRam ? s.bytes() : 0;
                disk += inRam ? 0 : s.bytes();
                kept.add(new Ranked(
                        new Item(
                                group,
                                s.where(),
                                Act.KEEP,
                                s.bytes(),
                                "No start planned here reads it; there is room."),
                        -1));
            } else {
                items.add(new Item(
                        group,
                        s.where(),
                        Act.DROP,
                        s.bytes(),
                        "No start planned here reads it from there, and its room is needed."));
            }
        }
        Comparator<Ranked> densest = Comparator.comparingDouble(Ranked::density).reversed();
        fetched.stream().sorted(densest).map(Ranked::item).forEach(items::add);
        kept.stream().sorted(densest).map(Ranked::item).forEach(items::add);
        Map<String, Double> serves = new TreeMap<>();
        starts.get(node).forEach((f, share) -> serves.put(instance.function(f), share));
        return new NodeContents(instance.node(node), items, serves, ram, disk);
    }

    private double saved(int node, int g, Option option) {
        double taken = 0;
        for (int f : instance.usersOf(g)) {
            taken += starts.get(node).getOrDefault(f, 0.0);
        }
        return taken * option.saved();
    }

    private String reason(int node, int g, Option option) {
        List<String> names = new ArrayList<>();
        for (int f : instance.usersOf(g)) {
            if (starts.get(node).containsKey(f)) {
                names.add(instance.function(f));
            }
        }
        if (names.isEmpty()) {
            return "No start planned here reads it; there is room.";
        }
        int more = names.size() - NAMED_FUNCTIONS;
        String who = more > 0
                ? String.join(", ", names.subList(0, NAMED_FUNCTIONS)) + " and " + more + " more"
                : String.join(", ", names);
        return String.format(
                Locale.ROOT,
                "Read by %s here; saves %.1f s per start, %.1f s in the epoch.",
                who,
                option.saved(),
                saved(node, g, option));
    }
}

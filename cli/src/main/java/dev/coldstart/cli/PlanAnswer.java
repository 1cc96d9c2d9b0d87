package dev.coldstart.cli;

import dev.coldstart.proto.v1.Action;
import dev.coldstart.proto.v1.NodePlan;
import dev.coldstart.proto.v1.PlanItem;
import dev.coldstart.proto.v1.PlanResponse;
import dev.coldstart.proto.v1.Tier;
import java.io.StringWriter;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/** A plan for people, or as JSON. */
final class PlanAnswer {
    private PlanAnswer() {}

    /** The plan node by node, then what it is worth. */
    static String text(PlanResponse plan, double horizonSeconds) {
        StringBuilder out = new StringBuilder();
        for (NodePlan node : plan.getNodesList()) {
            out.append(Table.printable(node.getNode())).append('\n');
            if (node.getItemsCount() == 0) {
                out.append("  holds nothing, and nothing is worth fetching\n");
            } else {
                Table table = new Table("ACTION", "TIER", "SIZE", "WHAT", "WHY");
                for (PlanItem item : node.getItemsList()) {
                    table.row(
                            action(item.getAction()),
                            tier(item.getTier()),
                            Sizes.of(item.getBytes()),
                            Names.shorten(item.getGroup()),
                            item.getReason());
                }
                out.append(table.render("  "));
            }
            if (node.getServesCount() > 0) {
                out.append("  takes ")
                        .append(new TreeMap<>(node.getServesMap())
                                .entrySet().stream()
                                        .map(e -> String.format(
                                                Locale.ROOT, "%.1f starts of %s", e.getValue(), e.getKey()))
                                        .map(Table::printable)
                                        .collect(Collectors.joining(", ")))
                        .append('\n');
            }
            out.append('\n');
        }
        out.append(String.format(
                Locale.ROOT,
                """
                Cold-start seconds expected in %.0f s, with the price of moved bytes:
                  planned        %12.1f
                  at least       %12.1f   no plan is better (gap %.2f %%)
                  nodes as now   %12.1f
                %s, %.2f s. %s
                """,
                horizonSeconds,
                plan.getObjective(),
                plan.getBound(),
                100 * gap(plan),
                plan.getObjectiveUnplanned(),
                Table.printable(plan.getMethod()),
                plan.getSolveSeconds(),
                Table.printable(plan.getNote())));
        return out.toString();
    }

    /** One JSON object, names as in planner.proto, and {@code gap}. */
    static String json(PlanResponse plan) {
        StringWriter out = new StringWriter();
        try (JsonGenerator json = new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
            json.writeStartObject();
            json.writeNumberProperty("objective", plan.getObjective());
            json.writeNumberProperty("bound", plan.getBound());
            json.writeNumberProperty("gap", gap(plan));
            json.writeNumberProperty("objective_unplanned", plan.getObjectiveUnplanned());
            json.writeStringProperty("method", plan.getMethod());
            json.writeStringProperty("note", plan.getNote());
            json.writeNumberProperty("solve_seconds", plan.getSolveSeconds());
            json.writeArrayPropertyStart("nodes");
            for (NodePlan node : plan.getNodesList()) {
                json.writeStartObject();
                json.writeStringProperty("node", node.getNode());
                json.writeArrayPropertyStart("items");
                for (PlanItem item : node.getItemsList()) {
                    json.writeStartObject();
                    json.writeStringProperty("group", item.getGroup());
                    json.writeStringProperty("tier", tier(item.getTier()));
                    json.writeStringProperty("action", action(item.getAction()));
                    json.writeNumberProperty("bytes", item.getBytes());
                    json.writeStringProperty("reason", item.getReason());
                    json.writeEndObject();
                }
                json.writeEndArray();
                json.writeObjectPropertyStart("serves");
                for (Map.Entry<String, Double> e : new TreeMap<>(node.getServesMap()).entrySet()) {
                    json.writeNumberProperty(e.getKey(), e.getValue());
                }
                json.writeEndObject();
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        return out.toString();
    }

    /** Distance to the bound, as a share of the plan's cost. */
    private static double gap(PlanResponse plan) {
        return plan.getObjective() > 0 ? (plan.getObjective() - plan.getBound()) / plan.getObjective() : 0;
    }

    private static String tier(Tier tier) {
        return switch (tier) {
            case TIER_RAM -> "ram";
            case TIER_DISK -> "disk";
            case TIER_UNKNOWN, UNRECOGNIZED -> "unknown";
        };
    }

    private static String action(Action action) {
        return switch (action) {
            case KEEP -> "keep";
            case FETCH -> "fetch";
            case DROP -> "drop";
            case ACTION_UNKNOWN, UNRECOGNIZED -> "unknown";
        };
    }
}

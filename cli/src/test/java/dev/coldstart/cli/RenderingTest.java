package dev.coldstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.proto.v1.Action;
import dev.coldstart.proto.v1.NodePlan;
import dev.coldstart.proto.v1.PlanItem;
import dev.coldstart.proto.v1.PlanResponse;
import dev.coldstart.proto.v1.Tier;
import org.junit.jupiter.api.Test;

class RenderingTest {
    private static final PlanResponse PLAN = PlanResponse.newBuilder()
            .addNodes(NodePlan.newBuilder()
                    .setNode("a")
                    .addItems(PlanItem.newBuilder()
                            .setGroup("layer:sha256:" + "0123456789abcdef".repeat(4))
                            .setTier(Tier.TIER_DISK)
                            .setAction(Action.FETCH)
                            .setBytes(3L << 29)
                            .setReason("Read by \"f\"\u001b[2J here."))
                    .putServes("f", 3))
            .addNodes(NodePlan.newBuilder().setNode("b"))
            .setObjective(20)
            .setBound(19)
            .setObjectiveUnplanned(100)
            .setMethod("pattern-lp")
            .setNote("n")
            .setSolveSeconds(0.25)
            .build();

    @Test
    void aPlanForPeople() {
        assertThat(PlanAnswer.text(PLAN, 3600)).isEqualTo("""
                        a
                          ACTION  TIER  SIZE     WHAT                       WHY
                          fetch   disk  1.5 GiB  layer:sha256:0123456789ab  Read by "f"?[2J here.
                          takes 3.0 starts of f

                        b
                          holds nothing, and nothing is worth fetching

                        Cold-start seconds expected in 3600 s, with the price of moved bytes:
                          planned                20.0
                          at least               19.0   no plan is better (gap 5.00 %)
                          nodes as now          100.0
                        pattern-lp, 0.25 s. n
                        """);
    }

    @Test
    void aPlanAsJson() {
        assertThat(PlanAnswer.json(PLAN))
                .startsWith("{\"objective\":20.0,\"bound\":19.0,\"gap\":0.05,\"objective_unplanned\":100.0,")
                .contains("\"tier\":\"disk\",\"action\":\"fetch\",\"bytes\":1610612736")
                .contains("Read by \\\"f\\\"\\u001B[2J here.")
                .contains("\"serves\":{\"f\":3.0}")
                .endsWith("{\"node\":\"b\",\"items\":[],\"serves\":{}}]}");
    }

    @Test
    void sizes() {
        assertThat(Sizes.of(0)).isEqualTo("0 B");
        assertThat(Sizes.of(1023)).isEqualTo("1023 B");
        assertThat(Sizes.of(1024)).isEqualTo("1.0 KiB");
        assertThat(Sizes.of((1L << 20) - 1)).isEqualTo("1.0 MiB");
        assertThat(Sizes.of(5L << 40)).isEqualTo("5.0 TiB");
    }
}

package dev.coldstart.cli.demand;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.util.List;
import org.junit.jupiter.api.Test;

class DemandFileTest {
    private static final String RATES = "[rates]\nram = 8e9\ndisk = 2e9\nregistry = 125000000\n";
    private static final String FUNCTION =
            "[[function]]\nname = 'f'\ncold_starts_per_hour = 12\ngroups = ['layer:sha256:ab']\n";

    @Test
    void readsEverythingTheHelpShows() throws Exception {
        Demand demand = DemandFile.parse("""
                horizon_seconds = 1800
                move_cost_seconds_per_gib = 0.5
                """ + RATES + """
                        [[function]]
                        name = "resnet"
                        cold_starts_per_hour = 12.5
                        fixed_seconds = 0.8
                        image = "127.0.0.1:5000/resnet:1"
                        snapshot = "0a1b"
                        groups = ["layer:x", "layer:y"]
                        [[group]]
                        name = "layer:x"
                        bytes = "1.5 GiB"
                        [[node]]
                        name = "b"
                        ram_bytes = 0
                        disk_bytes = "80GB"
                        [[node.holding]]
                        group = "layer:y"
                        bytes_total = 1000
                        bytes_present = 0
                        tier = "ram"
                        [[node.holding]]
                        group = "layer:z"
                        bytes_total = "2 KiB"
                        tier = "disk"
                        """, "d.toml");
        assertThat(demand)
                .isEqualTo(new Demand(
                        1800,
                        0.5,
                        new Demand.Rates(8e9, 2e9, 125e6),
                        List.of(new Demand.Function(
                                "resnet",
                                12.5,
                                0.8,
                                List.of("127.0.0.1:5000/resnet:1"),
                                List.of("0a1b"),
                                List.of("layer:x", "layer:y"))),
                        java.util.Map.of("layer:x", 3L << 29),
                        List.of(new Demand.Node(
                                "b",
                                0,
                                80_000_000_000L,
                                List.of(
                                        new Demand.Held("layer:y", 1000, 0, true),
                                        new Demand.Held("layer:z", 2048, 2048, false))))));
    }

    @Test
    void hasDefaults() throws Exception {
        Demand demand = DemandFile.parse(RATES + FUNCTION, "d.toml");
        assertThat(demand.horizonSeconds()).isEqualTo(3600);
        assertThat(demand.moveCostSecondsPerGib()).isEqualTo(1);
        assertThat(demand.functions().getFirst().fixedSeconds()).isZero();
    }

    @Test
    void saysInOneSentenceWhereItIsWrong() {
        refused("x = = 1", "not TOML");
        refused("x = " + "[".repeat(100_000), "Nesting is too deep");
        refused(FUNCTION, "the section [rates] is missing");
        refused(RATES, "there is no [[function]]");
        refused("horizon = 1\n" + RATES + FUNCTION, "unknown key 'horizon'");
        refused("horizon_seconds = 0\n" + RATES + FUNCTION, "horizon_seconds must be more than 0");
        refused("horizon_seconds = 'an hour'\n" + RATES + FUNCTION, "horizon_seconds must be a number");
        refused("move_cost_seconds_per_gib = nan\n" + RATES + FUNCTION, "move_cost_seconds_per_gib must be a number");
        refused(RATES.replace("8e9", "0") + FUNCTION, "[rates]: ram must be more than 0");
        refused(RATES.replace("ram", "rom") + FUNCTION, "[rates]: ram is missing");
        refused(RATES + FUNCTION + FUNCTION, "[[function]] number 2: the function f is given twice");
        refused(RATES + FUNCTION.replace("12", "-1"), "cold_starts_per_hour must be a number of at least 0");
        refused(RATES + FUNCTION.replace("groups", "group"), "the function f reads nothing");
        refused(RATES + FUNCTION.replace("'layer:sha256:ab'", "3"), "groups must be a list of texts");
        refused(RATES + FUNCTION + "image = ''\n", "image must be a text");
        refused(RATES + FUNCTION + "[[group]]\nname = 'g'\nbytes = '5 XB'\n", "[[group]] number 1: bytes must be");
        refused(
                RATES + FUNCTION + "[[group]]\nname = 'g'\nbytes = -5\n",
                "bytes must be a number of bytes of at least 0");
        refused(RATES + FUNCTION + "[[group]]\nname = 'g'\nbytes = '999999999 PiB'\n", "bytes is too large");
        refused(RATES + FUNCTION + "[group]\nname = 'g'\nbytes = 5\n", "group must be given as [[group]]");
        String node = RATES + FUNCTION + "[[node]]\nname = 'n'\nram_bytes = 0\ndisk_bytes = 10\n[[node.holding]]\n"
                + "group = 'g'\nbytes_total = 5\n";
        refused(node, "[[node]] number 1 [[holding]] number 1: tier is missing");
        refused(node + "tier = 'tape'\n", "tier must be");
        refused(node + "tier = 'disk'\nbytes_present = 6\n", "bytes_present is more than bytes_total");
    }

    private static void refused(String text, String sentence) {
        assertThatThrownBy(() -> DemandFile.parse(text, "d.toml"))
                .isInstanceOf(DemandException.class)
                .hasMessageStartingWith("d.toml")
                .hasMessageContaining(sentence)
                .hasMessageEndingWith(".");
    }

    @FuzzTest
    void anyTextIsADemandOrRefused(byte[] bytes) {
        try {
            Demand demand = DemandFile.parse(new String(bytes, java.nio.charset.StandardCharsets.UTF_8), "fuzz");
            assertThat(demand.functions()).isNotEmpty();
            assertThat(demand.rates().registry()).isPositive();
        } catch (DemandException e) {
            assertThat(e).hasMessageStartingWith("fuzz");
        }
    }
}

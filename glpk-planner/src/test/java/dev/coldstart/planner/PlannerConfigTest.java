package dev.coldstart.planner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class PlannerConfigTest {
    @Test
    void readsItsSectionAndLeavesTheOthersAlone() throws Exception {
        assertThat(PlannerConfig.parse("[planner]\nstate = '/x'\n[shim]\nwhatever = 1\n[store]\nverify = 'once'", "c")
                        .socket())
                .isEqualTo(Path.of("/x/planner.sock"));
        assertThat(PlannerConfig.parse("", "c").socket()).isEqualTo(Path.of("/run/coldstart/planner.sock"));
        assertThat(PlannerConfig.parse("[fetch]\nreplay = true\n[index]\npublish = true\n[cri]\n", "c")
                        .socket())
                .as("with sections of other programs")
                .isEqualTo(Path.of("/run/coldstart/planner.sock"));
        assertThat(PlannerConfig.read(Path.of("/nonexistent/config.toml")).socket())
                .isEqualTo(Path.of("/run/coldstart/planner.sock"));
    }

    @Test
    void refusesWhatItDoesNotKnowInOneSentence() {
        refused("[planer]\n", "unknown key 'planer'");
        refused("[planner]\nbudget = 2\n", "unknown key 'budget' in [planner]");
        refused("[planner]\nstate = 3\n", "must be a path in quotes");
        refused("[planner]\nstate = 'run'\n", "absolute path");
        refused("planner = 1\n", "must be a section");
        refused("[planner\n", "not TOML");
    }

    private static void refused(String text, String sentence) {
        assertThatThrownBy(() -> PlannerConfig.parse(text, "/etc/coldstart/config.toml"))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("/etc/coldstart/config.toml")
                .hasMessageContaining(sentence);
    }
}

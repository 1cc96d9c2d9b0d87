package dev.coldstart.shim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

class ArgumentsTest {
    @Test
    void takesAllFormsOfGoFlags() {
        Arguments arguments = Arguments.parse(
                List.of("-namespace", "ns", "--id=x=y", "-debug", "--address", "/a", "start", "-not-a-flag"));
        assertThat(arguments.required("namespace")).isEqualTo("ns");
        assertThat(arguments.required("id")).isEqualTo("x=y");
        assertThat(arguments.required("address")).isEqualTo("/a");
        assertThat(arguments.flags()).containsEntry("debug", "true").doesNotContainKey("bundle");
        assertThat(arguments.words()).containsExactly("start", "-not-a-flag");
    }

    @Test
    void namesTheMissingFlag() {
        assertThatThrownBy(() -> Arguments.parse(List.of("-namespace=")).required("namespace"))
                .hasMessage("the flag -namespace is missing or empty");
    }
}

package dev.coldstart.shim.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReadinessTest {
    @Test
    void readsEachKind() {
        assertThat(Readiness.parse("http::8000/health?a=b")).isEqualTo(new Readiness.Http(8000, "/health?a=b"));
        assertThat(Readiness.parse("http::80")).isEqualTo(new Readiness.Http(80, "/"));
        assertThat(Readiness.parse("file:/run/ready")).isEqualTo(new Readiness.File("/run/ready"));
        assertThat(Readiness.parse("after:30s")).isEqualTo(new Readiness.After(Duration.ofSeconds(30)));
        assertThat(Readiness.parse("log:ready: .*"))
                .isInstanceOfSatisfying(
                        Readiness.Log.class,
                        log -> assertThat(log.pattern().pattern()).isEqualTo("ready: .*"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "http",
                "http::",
                "http:8000/",
                "http::0/",
                "http::70000/",
                "http::80/a b",
                "http::80/\r\nX: y",
                "file:",
                "file:relative",
                "after:",
                "after:30",
                "after:-1s",
                "after:9999999s",
                "log:",
                "log:(",
                "tcp::80"
            })
    void refusesOthersInOneSentence(String value) {
        assertThatThrownBy(() -> Readiness.parse(value))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("coldstart.dev/ready has the value \"" + value + "\"");
    }

    @FuzzTest
    void refusesOrReads(byte[] value) {
        try {
            var _ = Readiness.parse(new String(value, java.nio.charset.StandardCharsets.UTF_8));
        } catch (IllegalArgumentException e) {
            assertThat(e).hasMessageEndingWith(".");
        }
    }
}

package dev.coldstart.restore.criu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

class CriuStatsTest {
    /** Written by criu 4.2.1. */
    private static final byte[] RESTORE =
            HexFormat.of().parseHex("4059105506330957" + "10000000120e08001000180220def10a28d59803");

    @Test
    void readsWhatCriuWrote() {
        assertThat(CriuStats.parse(RESTORE).getRestore().getRestoreTime()).isEqualTo(178398);
        assertThat(CriuStats.parse(RESTORE).getRestore().getPagesRestored()).isEqualTo(52309);
    }

    @Test
    void aCutFileIsRefused() {
        for (int length = 0; length < RESTORE.length; length++) {
            byte[] cut = Arrays.copyOf(RESTORE, length);
            assertThatThrownBy(() -> CriuStats.parse(cut)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @FuzzTest
    void anyBytesAreStatisticsOrRefused(byte[] bytes) {
        try {
            assertThat(CriuStats.parse(bytes)).isNotNull();
        } catch (IllegalArgumentException expected) {
            assertThat(expected.getMessage()).isNotNull();
        }
    }
}

package dev.coldstart.integration.pull;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.start.Prediction;
import dev.coldstart.integration.start.Start;
import org.junit.jupiter.api.Test;

class TableTest {
    private final Results results = new Results();

    @Test
    void tellsTheWorstCellAndTheMean() {
        Cell small = new Cell(Size.SMALL, Link.GBIT_1);
        Cell medium = new Cell(Size.MEDIUM, Link.GBIT_1);
        add(small, Way.OVERLAYFS, 4, 5);
        add(small, Way.FIRST_EVER, 2, 3);
        add(small, Way.SECOND_NODE, 1, 5);
        add(small, Way.NO_TRACE, 2, 5);
        add(medium, Way.OVERLAYFS, 9, 11);
        add(medium, Way.OVERLAYFS, 10, 10);
        add(medium, Way.OVERLAYFS, 30, 9);
        add(medium, Way.FIRST_EVER, 20, 10);
        add(medium, Way.SECOND_NODE, 3, 12);
        add(medium, Way.NO_TRACE, 6, 12);

        assertThat(new Table(results).json())
                .isEqualTo("{\"first_ever_over_overlayfs\": 2.0000, \"first_ever_over_overlayfs_mean\": 1.0000,"
                        + " \"second_node_over_overlayfs_1gbit\": 0.3000, \"second_node_over_overlayfs_mean\": 0.2739,"
                        + " \"replay_saving\": 0.5000, \"full_read_over_overlayfs\": 1.2000,"
                        + " \"full_read_first_ever_mean\": 0.7746, \"full_read_second_node_mean\": 1.0954}");
        assertThat(new Table(results).text())
                .containsPattern("the same, no replay +1 .* 6\\.00 +0\\.60 ")
                .contains(small.title(), medium.title());
    }

    @Test
    void saysNothingOfWhatWasNotMeasured() {
        Cell small = new Cell(Size.SMALL, Link.MBIT_100);
        add(small, Way.OVERLAYFS, 4, 5);
        add(small, Way.FIRST_EVER, 2, 5);
        add(small, Way.SECOND_NODE, 1, 4);

        assertThat(new Table(results).json())
                .contains(
                        "\"second_node_over_overlayfs_1gbit\": null",
                        "\"replay_saving\": null",
                        "\"full_read_over_overlayfs\": 1.0000");
        assertThat(new Table(results).text()).doesNotContain(Way.NO_TRACE.title(), "NaN");
    }

    private void add(Cell cell, Way way, double answer, double allRead) {
        Start start = new Start(0, answer / 2, answer / 4, answer / 4, 1 << 20, new Prediction("[1]", "an id", 1));
        results.add(cell, way, new Measurement(start, allRead, 2 << 20, "a digest", 1, 1, 1));
    }
}

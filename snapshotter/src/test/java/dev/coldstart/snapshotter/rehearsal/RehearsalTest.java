package dev.coldstart.snapshotter.rehearsal;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

final class RehearsalTest {
    /** All parts of a pull and a start are played; if one failed, what it is for would stay cold without anybody seeing it. */
    @Test
    @Timeout(120)
    void playsToTheEndAndLeavesNothing(@TempDir Path directory) throws Exception {
        Path own = Files.createDirectories(directory.resolve("rehearsal"));
        Files.createDirectories(own.resolve("0/of-a-process-that-was-killed"));
        List<String> said = new CopyOnWriteArrayList<>();
        Logger log = Logger.getLogger("dev.coldstart.snapshotter");
        Handler listener = new Handler() {
            @Override
            public void publish(LogRecord line) {
                said.add(line.getMessage() + " " + Arrays.toString(line.getParameters()));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Level before = log.getLevel();
        log.setLevel(Level.ALL);
        log.addHandler(listener);
        try (Rehearsal rehearsal = Rehearsal.begin(own, () -> false)) {
            rehearsal.await();
        } finally {
            log.removeHandler(listener);
            log.setLevel(before);
        }
        assertThat(said).isEmpty();
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    @Timeout(60)
    void endsWhenThereIsSomethingToDo(@TempDir Path directory) throws Exception {
        for (int question = 1; question < 2000; question *= 4) {
            AtomicInteger questions = new AtomicInteger(question);
            try (Rehearsal rehearsal =
                    Rehearsal.begin(directory.resolve("rehearsal"), () -> questions.decrementAndGet() < 0)) {
                rehearsal.await();
            }
            assertThat(directory).as("after question %d", question).isEmptyDirectory();
        }
    }

    @Test
    @Timeout(60)
    void endsWithTheProcess(@TempDir Path directory) throws Exception {
        Rehearsal rehearsal = Rehearsal.begin(directory.resolve("rehearsal"), () -> false);
        Thread.sleep(300);
        rehearsal.close();
        rehearsal.await();
        assertThat(directory).isEmptyDirectory();
    }
}

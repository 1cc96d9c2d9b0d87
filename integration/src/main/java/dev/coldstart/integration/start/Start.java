package dev.coldstart.integration.start;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.node.Node;
import dev.coldstart.integration.node.Registry;
import java.time.Duration;
import java.util.List;

/**
 * One measured start, from the command a user types to the first correct answer.
 *
 * @param begun seconds since the epoch, by the host's clock
 * @param pullSeconds the image pulled; 0 where it was there
 * @param createSeconds until {@code ctr run --detach} came back
 * @param answerSeconds from there to the answer
 * @param bytes that came from the registry until the answer
 */
public record Start(
        double begun,
        double pullSeconds,
        double createSeconds,
        double answerSeconds,
        long bytes,
        Prediction prediction) {
    private static final Duration LIMIT = Duration.ofMinutes(20);

    /** All clocks and counters are read in the host, so that entering it is no part of it. */
    private static final String SCRIPT = """
            device=/sys/class/net/to-$1/statistics/rx_bytes
            r0=$(cat "$device") t0=$EPOCHREALTIME
            if [ -n "$2" ]; then
                $2 </dev/null >/tmp/pull.log 2>&1 || { cat /tmp/pull.log >&2; exit 1; }
            fi
            t1=$EPOCHREALTIME
            $3 </dev/null >/dev/null || exit 1
            t2=$EPOCHREALTIME SECONDS=0
            # Bash's own connection: no process per try that would take the container's processor time.
            until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do
                [ $SECONDS -lt 600 ] || { echo "no answer within 600 s" >&2; exit 1; }
                sleep 0.02
            done
            answer=$(curl -fsS -m 60 "http://127.0.0.1:8000/predict?x=0.5") || exit 1
            t3=$EPOCHREALTIME r3=$(cat "$device")
            echo "$t0 $t1 $t2 $t3 $r0 $r3"
            echo "$answer"
            """;

    public double seconds() {
        return pullSeconds + createSeconds + answerSeconds;
    }

    /**
     * Pulls an image and runs it.
     *
     * @param pull the command that pulls, or an empty list
     * @param run the command that starts the container
     */
    public static Start measure(Node node, Registry registry, List<String> pull, List<String> run) {
        String[] lines = node.host()
                .script(LIMIT, SCRIPT, registry.host().name(), String.join(" ", pull), String.join(" ", run))
                .split("\n", 2);
        String[] marks = lines[0].split(" ", -1);
        if (lines.length != 2 || marks.length != 6) {
            throw new HostException("the measuring script printed: " + String.join("\n", lines));
        }
        double[] t = new double[4];
        for (int i = 0; i < t.length; i++) {
            t[i] = Double.parseDouble(marks[i]);
        }
        return new Start(
                t[0],
                t[1] - t[0],
                t[2] - t[1],
                t[3] - t[2],
                Long.parseLong(marks[5]) - Long.parseLong(marks[4]),
                Prediction.parse(lines[1]));
    }
}

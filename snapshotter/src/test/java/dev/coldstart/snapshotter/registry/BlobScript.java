package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.registry.ScriptedServer.Reply;
import dev.coldstart.snapshotter.registry.ScriptedServer.Request;
import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Right answers to requests for one blob and its ranges. */
public final class BlobScript {
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d*)");

    private BlobScript() {}

    /** First and last-but-one byte of what was asked for; null if the request has no range. */
    public static long @Nullable [] range(Request request, long size) {
        String header = request.header("range");
        Matcher range = RANGE.matcher(header == null ? "" : header);
        if (!range.matches()) {
            return null;
        }
        long to = range.group(2).isEmpty() ? size : Math.min(size, Long.parseLong(range.group(2)) + 1);
        return new long[] {Long.parseLong(range.group(1)), to};
    }

    public static void send(Request request, Reply reply, byte[] blob) throws IOException {
        long[] range = range(request, blob.length);
        if (range == null) {
            reply.send(200, Map.of(), blob);
        } else if (range[0] >= blob.length) {
            reply.send(416, Map.of("Content-Range", "bytes */" + blob.length), new byte[0]);
        } else {
            reply.send(
                    206,
                    Map.of("Content-Range", "bytes " + range[0] + "-" + (range[1] - 1) + "/" + blob.length),
                    Arrays.copyOfRange(blob, (int) range[0], (int) range[1]));
        }
    }
}

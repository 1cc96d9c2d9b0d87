package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * The server's side of a stream. One thread may receive while another sends.
 *
 * <p>About 1 MiB of messages that were not received yet is kept. Who then receives nothing for a second, for which
 * everything on the connection waits, loses the stream: RESOURCE_EXHAUSTED.
 */
public interface ServerStream extends Call {
    /**
     * The client's next message, waited for.
     *
     * @return null when the client has sent its last
     * @throws StatusException if the stream has ended before its handler did; the client knows
     * @throws IOException if the connection has ended
     */
    @Nullable
    ByteString receive() throws StatusException, IOException, InterruptedException;

    /**
     * Sends a message; returns when it stands in the queue, for which it may have to wait.
     *
     * @throws StatusException if the message exceeds 4 MiB (RESOURCE_EXHAUSTED), or the stream has ended
     * @throws IOException if the connection has ended
     */
    void send(MessageLite message) throws StatusException, IOException, InterruptedException;
}

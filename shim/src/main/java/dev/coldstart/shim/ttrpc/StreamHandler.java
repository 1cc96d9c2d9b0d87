package dev.coldstart.shim.ttrpc;

import com.google.protobuf.MessageLite;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * One method of a service that takes or answers more than one message. Called on a virtual thread of its own, which is
 * interrupted when the deadline passes or the connection ends: nobody is left then who could want the rest.
 */
@FunctionalInterface
public interface StreamHandler {
    /**
     * Serves a stream to its end, whatever of its messages was taken.
     *
     * @return the one answer of a method that answers once; null from one that answers with a stream
     * @throws com.google.protobuf.InvalidProtocolBufferException if a message is not what the method takes; answered as
     *     INVALID_ARGUMENT
     * @throws IOException any other is answered as UNKNOWN
     */
    @Nullable
    MessageLite handle(ServerStream stream) throws StatusException, IOException, InterruptedException;
}

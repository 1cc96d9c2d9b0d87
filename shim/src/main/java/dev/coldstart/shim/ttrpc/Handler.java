package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;

/** One method of a service. Called on a virtual thread of its own. */
@FunctionalInterface
public interface Handler {
    /**
     * Answers a request.
     *
     * @throws InvalidProtocolBufferException if the payload is not what the method takes; answered as INVALID_ARGUMENT
     */
    MessageLite handle(ByteString payload) throws StatusException, InvalidProtocolBufferException, InterruptedException;
}

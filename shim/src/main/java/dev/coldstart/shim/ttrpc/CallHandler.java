package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;

/** One method of a service that also looks at who calls it, and with what metadata; otherwise a {@link Handler}. */
@FunctionalInterface
public interface CallHandler {
    /**
     * Answers a request.
     *
     * @throws InvalidProtocolBufferException if the payload is not what the method takes; answered as INVALID_ARGUMENT
     */
    MessageLite handle(Call call, ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException;
}

package dev.coldstart.shim.ttrpc;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The methods a server answers, by service and name. Filled before the server starts. */
public final class Methods {
    sealed interface Method {}

    /**
     * One message, one answer.
     *
     * @param waits whether the handler only waits: it is interrupted when its caller's deadline passes or its
     *     connection closes. Others run to their end, because half a state change is worse than an answer nobody reads.
     */
    record Unary(CallHandler handler, boolean waits) implements Method {}

    record Streaming(StreamHandler handler) implements Method {}

    private final Map<String, Map<String, Method>> services = new HashMap<>();

    /** Adds a method that changes or reads state. */
    public Methods add(String service, String name, Handler handler) {
        return put(service, name, new Unary((_, payload) -> handler.handle(payload), false));
    }

    /** Adds a method that waits for something to happen. */
    public Methods addWaiting(String service, String name, Handler handler) {
        return put(service, name, new Unary((_, payload) -> handler.handle(payload), true));
    }

    /** Adds a method that changes or reads state, and looks at who calls. */
    public Methods addCall(String service, String name, CallHandler handler) {
        return put(service, name, new Unary(handler, false));
    }

    /** Adds a method that takes a stream of messages, or answers with one, or both. */
    public Methods addStream(String service, String name, StreamHandler handler) {
        return put(service, name, new Streaming(handler));
    }

    private Methods put(String service, String name, Method method) {
        services.computeIfAbsent(service, absent -> new HashMap<>()).put(name, method);
        return this;
    }

    /** Clients tell an older service from a missing method by these texts' code alone (12). */
    Method find(String service, String name) throws StatusException {
        @Nullable Map<String, Method> methods = services.get(service);
        if (methods == null) {
            throw new StatusException(Code.UNIMPLEMENTED, "service " + service);
        }
        @Nullable Method method = methods.get(name);
        if (method == null) {
            throw new StatusException(Code.UNIMPLEMENTED, "method " + name);
        }
        return method;
    }
}

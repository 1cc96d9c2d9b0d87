package dev.coldstart.shim.ttrpc;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The methods a server answers, by service and name. Filled before the server starts. */
public final class Methods {
    /**
     * @param waits whether the handler only waits: it is interrupted when its caller's deadline passes or its
     *     connection closes. Others run to their end, because half a state change is worse than an answer nobody reads.
     */
    record Method(Handler handler, boolean waits) {}

    private final Map<String, Map<String, Method>> services = new HashMap<>();

    /** Adds a method that changes or reads state. */
    public Methods add(String service, String name, Handler handler) {
        return put(service, name, new Method(handler, false));
    }

    /** Adds a method that waits for something to happen. */
    public Methods addWaiting(String service, String name, Handler handler) {
        return put(service, name, new Method(handler, true));
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

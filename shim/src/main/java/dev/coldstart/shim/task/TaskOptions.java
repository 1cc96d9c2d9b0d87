package dev.coldstart.shim.task;

import static java.lang.System.Logger.Level.INFO;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.containerd.runc.Options;

/** The options of a task or of a runtime, which may be of any type. */
public final class TaskOptions {
    private static final System.Logger LOG = System.getLogger(TaskOptions.class.getName());
    private static final String RUNC = "containerd.runc.v1.Options";

    private TaskOptions() {}

    /** runc's options if that is what they are; defaults for absent, foreign or unknown ones. */
    public static Options runc(Any any) throws InvalidProtocolBufferException {
        if (name(any).equals(RUNC)) {
            return Options.parseFrom(any.getValue());
        }
        if (!any.getTypeUrl().isEmpty()) {
            LOG.log(INFO, "Options of type {0} are not used.", any.getTypeUrl());
        }
        return Options.getDefaultInstance();
    }

    /** The type's full name, with or without a prefix such as {@code type.googleapis.com/} on the wire. */
    static String name(Any any) {
        String url = any.getTypeUrl();
        return url.substring(url.lastIndexOf('/') + 1);
    }
}

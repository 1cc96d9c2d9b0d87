package dev.coldstart.shim.task;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.shim.log.LateLogger;
import java.util.List;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;

/** The options of a task or of a runtime, which may be of any type. */
public final class TaskOptions {
    private static final System.Logger LOG = new LateLogger(TaskOptions.class);
    private static final String RUNC = "containerd.runc.v1.Options";
    /** With a prefix of its own in containerd 1.6. */
    private static final String CONFIGURED = "runtimeoptions.v1.Options";

    private TaskOptions() {}

    /**
     * runc's options if that is what they are, or what the CRI's configuration of the runtime says, under the same names; defaults
     * for absent, foreign or unknown ones.
     */
    public static Options runc(Any any) throws InvalidProtocolBufferException {
        String name = name(any);
        if (name.equals(RUNC)) {
            return Options.parseFrom(any.getValue());
        }
        if (name.endsWith(CONFIGURED)) {
            return configured(dev.coldstart.proto.containerd.runtimeoptions.Options.parseFrom(any.getValue())
                    .getConfigBody()
                    .toStringUtf8());
        }
        if (!any.getTypeUrl().isEmpty()) {
            LOG.log(INFO, "Options of type {0} are not used.", any.getTypeUrl());
        }
        return Options.getDefaultInstance();
    }

    private static Options configured(String text) {
        TomlParseResult toml = Toml.parse(text);
        if (toml.hasErrors()) {
            LOG.log(
                    WARNING,
                    "The runtime''s options are not valid TOML and not used: {0}",
                    toml.errors().getFirst().toString());
            return Options.getDefaultInstance();
        }
        Options.Builder options = Options.newBuilder();
        for (String key : toml.keySet()) {
            boolean known = switch (toml.get(List.of(key))) {
                case String value -> set(options, key, value);
                case Boolean value -> set(options, key, value);
                case Long value -> set(options, key, value.intValue());
                case null, default -> false;
            };
            if (!known) {
                LOG.log(WARNING, "The runtime''s option {0} is unknown, or not of its type.", key);
            }
        }
        return options.build();
    }

    private static boolean set(Options.Builder options, String key, String value) {
        switch (key) {
            case "BinaryName" -> options.setBinaryName(value);
            case "Root" -> options.setRoot(value);
            case "ShimCgroup" -> options.setShimCgroup(value);
            case "CriuImagePath" -> options.setCriuImagePath(value);
            case "CriuWorkPath" -> options.setCriuWorkPath(value);
            default -> {
                return false;
            }
        }
        return true;
    }

    private static boolean set(Options.Builder options, String key, boolean value) {
        switch (key) {
            case "SystemdCgroup" -> options.setSystemdCgroup(value);
            case "NoPivotRoot" -> options.setNoPivotRoot(value);
            case "NoNewKeyring" -> options.setNoNewKeyring(value);
            default -> {
                return false;
            }
        }
        return true;
    }

    private static boolean set(Options.Builder options, String key, int value) {
        switch (key) {
            case "IoUid" -> options.setIoUid(value);
            case "IoGid" -> options.setIoGid(value);
            default -> {
                return false;
            }
        }
        return true;
    }

    /** The type's full name, with or without a prefix such as {@code type.googleapis.com/} on the wire. */
    static String name(Any any) {
        String url = any.getTypeUrl();
        return url.substring(url.lastIndexOf('/') + 1);
    }
}

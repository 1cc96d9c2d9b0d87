package dev.coldstart.shim.task;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.containerd.runc.Options;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.junit.jupiter.api.Test;

class TaskOptionsTest {
    private static Any any(String type, ByteString value) {
        return Any.newBuilder().setTypeUrl(type).setValue(value).build();
    }

    @Test
    void readsRuncsOptionsUnderEitherName() throws InvalidProtocolBufferException {
        Options options = Options.newBuilder().setBinaryName("crun").build();
        assertThat(TaskOptions.runc(any("containerd.runc.v1.Options", options.toByteString())))
                .isEqualTo(options);
        assertThat(TaskOptions.runc(any("type.googleapis.com/containerd.runc.v1.Options", options.toByteString())))
                .isEqualTo(options);
    }

    @Test
    void takesForeignAndAbsentOptionsForDefaults() throws InvalidProtocolBufferException {
        ByteString foreign = ByteString.copyFromUtf8("x");
        assertThat(TaskOptions.runc(any("other.v1.Options", foreign))).isEqualTo(Options.getDefaultInstance());
        assertThat(TaskOptions.runc(Any.getDefaultInstance())).isEqualTo(Options.getDefaultInstance());
    }

    @Test
    void readsWhatTheCriIsConfiguredWith() throws InvalidProtocolBufferException {
        assertThat(configured("BinaryName = \"crun\"\nSystemdCgroup = true\nIoUid = 7\n"))
                .isEqualTo(Options.newBuilder()
                        .setBinaryName("crun")
                        .setSystemdCgroup(true)
                        .setIoUid(7)
                        .build());
        assertThat(configured("Unknown = 1\nRoot = 5\nNoPivotRoot = true"))
                .isEqualTo(Options.newBuilder().setNoPivotRoot(true).build());
        assertThat(configured("= broken")).isEqualTo(Options.getDefaultInstance());
        assertThat(configured("")).isEqualTo(Options.getDefaultInstance());
    }

    @Test
    void saysWhatIsWrongWithTheConfiguration() throws InvalidProtocolBufferException {
        Logger logger = Logger.getLogger(TaskOptions.class.getName());
        List<String> said = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord entry) {
                said.add(new SimpleFormatter().formatMessage(entry));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        logger.addHandler(handler);
        try {
            configured("= broken");
        } finally {
            logger.removeHandler(handler);
        }
        assertThat(said)
                .singleElement()
                .asString()
                .startsWith("The runtime's options are not valid TOML")
                .contains("'='");
    }

    private static Options configured(String toml) throws InvalidProtocolBufferException {
        return TaskOptions.runc(any(
                "runtimeoptions.v1.Options",
                dev.coldstart.proto.containerd.runtimeoptions.Options.newBuilder()
                        .setConfigBody(ByteString.copyFromUtf8(toml))
                        .build()
                        .toByteString()));
    }
}

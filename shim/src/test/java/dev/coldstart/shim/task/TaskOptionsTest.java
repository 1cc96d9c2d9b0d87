package dev.coldstart.shim.task;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.containerd.runc.Options;
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
        // What the CRI sends for a runtime whose options it does not know: its configuration's TOML.
        ByteString foreign = ByteString.copyFromUtf8("BinaryName = \"x\"");
        assertThat(TaskOptions.runc(any("runtimeoptions.v1.Options", foreign))).isEqualTo(Options.getDefaultInstance());
        assertThat(TaskOptions.runc(Any.getDefaultInstance())).isEqualTo(Options.getDefaultInstance());
    }
}

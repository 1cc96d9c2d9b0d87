package dev.coldstart.shim;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Any;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.proto.containerd.runtime.bootstrap.BootstrapParams;
import dev.coldstart.proto.containerd.runtime.bootstrap.Extension;
import org.junit.jupiter.api.Test;

class ShimMainTest {
    private static final Options OPTIONS =
            Options.newBuilder().setShimCgroup("/g").build();
    private static final Any ANY = Any.newBuilder()
            .setTypeUrl("containerd.runc.v1.Options")
            .setValue(OPTIONS.toByteString())
            .build();

    @Test
    void findsOptionsInBothFormsOfStdin() throws Exception {
        assertThat(ShimMain.options("c", "ns", ANY.toByteArray())).isEqualTo(OPTIONS);
        BootstrapParams bootstrap = BootstrapParams.newBuilder()
                .setInstanceId("c")
                .setNamespace("ns")
                .addExtensions(Extension.newBuilder().setValue(Any.newBuilder().setTypeUrl("other.Type")))
                .addExtensions(Extension.newBuilder().setValue(ANY))
                .build();
        assertThat(ShimMain.options("c", "ns", bootstrap.toByteArray())).isEqualTo(OPTIONS);
    }
}

package dev.coldstart.shim.ttrpc;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.google.protobuf.Empty;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;

class ServerFuzzTest {
    @TempDir
    static Path directory;

    /** Whatever a peer sends, the next one is served. */
    @FuzzTest
    void survivesAnyBytes(byte[] bytes) throws Exception {
        Path socket = directory.resolve("s");
        try (Server _ = Server.start(socket, new Methods().add("s", "m", payload -> Empty.getDefaultInstance()))) {
            try (SocketChannel raw = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
                raw.write(ByteBuffer.wrap(bytes));
            } catch (IOException e) {
                // The server may hang up first.
            }
            try (Client client = Client.connect(socket)) {
                var _ = client.call("s", "m", Empty.getDefaultInstance(), Map.of(), Duration.ofSeconds(10));
            }
        }
    }
}

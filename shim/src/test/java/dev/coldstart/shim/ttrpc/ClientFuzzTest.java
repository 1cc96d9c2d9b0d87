package dev.coldstart.shim.ttrpc;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(300)
class ClientFuzzTest {
    @TempDir
    static Path directory;

    /** Whatever a server sends, and then hangs up: calls and streams end, with an answer or with a typed failure. */
    @FuzzTest
    void endsWithAnyBytes(byte[] bytes) throws Exception {
        Path socket = directory.resolve("s");
        try (ServerSocketChannel listener = RawPeer.listen(socket)) {
            Thread server = Thread.ofVirtual().start(() -> {
                try (RawPeer peer = new RawPeer(listener.accept())) {
                    // The unary call, one stream, and the other.
                    for (int i = 0; i < 3; i++) {
                        peer.receive();
                    }
                    peer.sendBytes(ByteBuffer.wrap(bytes));
                } catch (IOException e) {
                    // The client may hang up first.
                }
            });
            try (Client client = Client.connect(socket)) {
                Thread caller = Thread.ofVirtual().start(() -> {
                    try {
                        var _ = client.call("s", "m", Empty.getDefaultInstance(), Map.of(), Duration.ZERO);
                    } catch (StatusException | IOException e) {
                        // As typed as it is to be.
                    } catch (InterruptedException e) {
                        throw new AssertionError(e);
                    }
                });
                try (ClientStream stream = client.stream("s", "m", Map.of(), Duration.ZERO);
                        ClientStream other =
                                client.serverStream("s", "m", Empty.getDefaultInstance(), Map.of(), Duration.ZERO)) {
                    drain(stream);
                    drain(other);
                } catch (StatusException | IOException e) {
                    // The connection may have ended before they were opened.
                }
                caller.join();
            }
            server.join();
        } finally {
            Files.deleteIfExists(socket);
        }
    }

    private static void drain(ClientStream stream) throws InterruptedException {
        try {
            for (ByteString message = stream.receive(); message != null; message = stream.receive()) {}
        } catch (StatusException | IOException e) {
            // As typed as it is to be.
        }
    }
}

package dev.coldstart.shim.ttrpc;

import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.code_intelligence.jazzer.junit.FuzzTest;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import com.google.protobuf.UnsafeByteOperations;
import dev.coldstart.proto.ttrpc.Request;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.Semaphore;
import org.junit.jupiter.api.io.TempDir;

class ServerFuzzTest {
    private static final int LIMIT_S = 60;
    private static final String[] METHODS = {"unary", "wait", "echo", "last", "deaf", "none"};

    @TempDir
    static Path directory;

    /** Whatever a peer sends, the next one is served. */
    @FuzzTest
    void survivesAnyBytes(byte[] bytes) throws Exception {
        try (Served served = new Served(directory.resolve("s"))) {
            served.feed(ByteBuffer.wrap(bytes));
        }
    }

    /** Frames that are well formed, of streams that are not: whatever was begun ends with the connection. */
    @FuzzTest
    void survivesAnyFrames(FuzzedDataProvider data) throws Exception {
        try (Served served = new Served(directory.resolve("s"))) {
            ByteBuffer bytes = ByteBuffer.allocate(1 << 16);
            while (data.remainingBytes() > 0 && bytes.remaining() > 1000) {
                int stream = data.consumeInt(0, 8);
                byte type = data.consumeByte((byte) 0, (byte) 4);
                byte flags = data.consumeByte();
                byte[] payload = data.consumeBytes(data.consumeInt(0, 100));
                byte[] content = payload;
                if (type == Frame.REQUEST) {
                    content = Request.newBuilder()
                            .setService("s")
                            .setMethod(data.pickValue(METHODS))
                            .setPayload(UnsafeByteOperations.unsafeWrap(payload))
                            .setTimeoutNano(data.consumeInt(-1, 2_000_000))
                            .build()
                            .toByteArray();
                }
                bytes.putInt(content.length).putInt(stream).put(type).put(flags).put(content);
            }
            served.feed(bytes.flip());
        }
    }

    /** A server of every kind of method. */
    private static final class Served implements AutoCloseable {
        private static final int ALL = 1_000_000;

        private final Path socket;
        private final Semaphore idle = new Semaphore(ALL);
        private final Server server;

        Served(Path socket) throws IOException {
            this.socket = socket;
            this.server = Server.start(
                    socket,
                    new Methods()
                            .add("s", "unary", payload -> Empty.getDefaultInstance())
                            .addWaiting("s", "wait", payload -> {
                                park();
                                return Empty.getDefaultInstance();
                            })
                            .addStream("s", "echo", stream -> {
                                begin();
                                try {
                                    for (ByteString m = stream.receive(); m != null; m = stream.receive()) {
                                        stream.send(Empty.parseFrom(m));
                                    }
                                    return null;
                                } finally {
                                    idle.release();
                                }
                            })
                            .addStream("s", "last", stream -> Empty.getDefaultInstance())
                            .addStream("s", "deaf", stream -> {
                                park();
                                return null;
                            }));
        }

        private void begin() {
            idle.acquireUninterruptibly();
        }

        private void park() throws InterruptedException {
            begin();
            try {
                new Semaphore(0).acquire();
            } finally {
                idle.release();
            }
        }

        /** What a peer sends before it hangs up. */
        void feed(ByteBuffer bytes) throws Exception {
            try (SocketChannel raw = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
                raw.write(bytes);
            } catch (IOException e) {
                // The server may hang up first.
            }
            try (Client client = Client.connect(socket)) {
                var _ = client.call("s", "unary", Empty.getDefaultInstance(), Map.of(), Duration.ofSeconds(LIMIT_S));
            }
        }

        @Override
        public void close() throws IOException {
            server.close();
        }
    }
}

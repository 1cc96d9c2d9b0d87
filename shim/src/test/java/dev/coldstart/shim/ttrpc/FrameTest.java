package dev.coldstart.shim.ttrpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.BytesValue;
import com.google.protobuf.Empty;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class FrameTest {
    @TempDir
    Path directory;

    /** Each kind of frame says of itself, and holds, what was asked for. */
    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4, 5})
    void saysWhatWasAsked(long seed) throws Exception {
        Random random = new Random(seed);
        for (int i = 0; i < 500; i++) {
            int stream = random.nextInt();
            BytesValue message = BytesValue.of(bytes(random, random.nextInt(300)));
            ByteBuffer data = Frame.data(stream, message, "m");
            assertThat(Frame.parse(data)).isEqualTo(frame(message.getSerializedSize(), stream, Frame.DATA, 0));
            assertThat(BytesValue.parseFrom(data)).isEqualTo(message);

            ByteBuffer answer = Frame.response(stream, message, "m");
            Response response =
                    Response.newBuilder().setPayload(message.toByteString()).build();
            assertThat(Frame.parse(answer)).isEqualTo(frame(response.getSerializedSize(), stream, Frame.RESPONSE, 0));
            assertThat(Response.parseFrom(answer)).isEqualTo(response);

            int code = random.nextInt(1, 17);
            ByteBuffer failure = Frame.failure(stream, code, "text " + seed);
            assertThat(Frame.parse(failure).type()).isEqualTo(Frame.RESPONSE);
            response = Response.parseFrom(failure);
            assertThat(response.getStatus().getCode()).isEqualTo(code);
            assertThat(response.getStatus().getMessage()).isEqualTo("text " + seed);

            Request head = Request.newBuilder().setService("s").setMethod("m").build();
            Request request =
                    head.toBuilder().setPayload(message.toByteString()).build();
            byte flags = (byte) random.nextInt(4);
            ByteBuffer question = Frame.request(flags, head, message);
            Frame.number(question, stream);
            assertThat(Frame.parse(question))
                    .isEqualTo(frame(request.getSerializedSize(), stream, Frame.REQUEST, flags));
            assertThat(Request.parseFrom(question)).isEqualTo(request);
        }
    }

    @ParameterizedTest(name = "{0} bytes too many")
    @ValueSource(ints = {0, 1})
    void theLargestFrameHas4MiB(int excess) throws Exception {
        // A field's tag and length take 5 bytes, in the message and in the envelope.
        BytesValue data = BytesValue.of(bytes(new Random(1), Frame.MAX_DATA_BYTES - 5 + excess));
        BytesValue answer = BytesValue.of(bytes(new Random(1), Frame.MAX_DATA_BYTES - 10 + excess));
        if (excess == 0) {
            assertThat(Frame.parse(Frame.data(1, data, "m")).length()).isEqualTo(Frame.MAX_DATA_BYTES);
            assertThat(Frame.parse(Frame.response(1, answer, "m")).length()).isEqualTo(Frame.MAX_DATA_BYTES);
        } else {
            assertThatThrownBy(() -> Frame.data(1, data, "m")).hasMessage("a message of m exceeds 4 MiB");
            assertThatThrownBy(() -> Frame.response(1, answer, "m")).hasMessage("the answer to m exceeds 4 MiB");
        }
        assertThat(Frame.parse(Frame.response(1, Empty.getDefaultInstance(), "m"))
                        .length())
                .isZero();
    }

    /** Frames come out as they went in, however the stream of bytes is cut, and whether they are read or discarded. */
    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4})
    void readsFramesThatComeInPieces(long seed) throws Exception {
        Random random = new Random(seed);
        List<ByteBuffer> frames = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            int length = 1 << random.nextInt(20);
            frames.add(Frame.data(random.nextInt(), BytesValue.of(bytes(random, random.nextInt(length))), "m"));
        }
        Path socket = directory.resolve("s");
        try (ServerSocketChannel listener = RawPeer.listen(socket);
                RawPeer sender = RawPeer.connect(socket);
                SocketChannel accepted = listener.accept();
                Connection reader = new Connection(accepted)) {
            Random cuts = new Random(seed + 1000);
            Thread writer = Thread.ofVirtual().start(() -> {
                try (sender) {
                    ByteBuffer all = ByteBuffer.allocate(
                            frames.stream().mapToInt(ByteBuffer::limit).sum());
                    frames.forEach(frame -> all.put(frame.duplicate()));
                    all.flip();
                    while (all.hasRemaining()) {
                        int piece = Math.min(all.remaining(), 1 + cuts.nextInt(1 << cuts.nextInt(1, 18)));
                        sender.sendBytes(all.slice(all.position(), piece));
                        all.position(all.position() + piece);
                    }
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            for (ByteBuffer frame : frames) {
                ByteBuffer expected = frame.duplicate();
                Frame read = reader.readFrame();
                assertThat(read).as("seed %d", seed).isEqualTo(Frame.parse(expected));
                if (random.nextBoolean()) {
                    assertThat(ByteBuffer.wrap(reader.readData(read)))
                            .as("seed %d", seed)
                            .isEqualTo(expected);
                } else {
                    reader.discardData(read);
                }
            }
            assertThatThrownBy(reader::readFrame).isInstanceOf(EOFException.class);
            writer.join();
        }
    }

    private static Frame frame(int length, int stream, int type, int flags) {
        return new Frame(length, stream, (byte) type, (byte) flags);
    }

    private static ByteString bytes(Random random, int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return ByteString.copyFrom(bytes);
    }
}

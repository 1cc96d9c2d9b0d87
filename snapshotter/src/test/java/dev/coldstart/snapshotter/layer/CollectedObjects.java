package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.Map;

/** Keeps objects in memory. */
public record CollectedObjects(Map<ObjectName, byte[]> objects) implements ObjectSink {
    @Override
    public Writer begin(long size) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        return new Writer() {
            @Override
            public void write(ByteBuffer piece) {
                byte[] copy = new byte[piece.remaining()];
                piece.get(copy);
                bytes.writeBytes(copy);
            }

            @Override
            public void complete(ObjectName name) {
                assertThat((long) bytes.size()).isEqualTo(size);
                objects.put(name, bytes.toByteArray());
            }

            @Override
            public void abort() {}
        };
    }
}

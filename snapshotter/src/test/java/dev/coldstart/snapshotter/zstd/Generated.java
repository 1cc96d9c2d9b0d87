package dev.coldstart.snapshotter.zstd;

import java.util.Random;

/** Bytes that use all of the format: text of few words, noise, runs, copies from near and far, binary records. */
final class Generated {
    private Generated() {}

    /** The same seed gives the same bytes. */
    static byte[] bytes(Random random, int size) {
        byte[] bytes = new byte[size];
        int at = 0;
        while (at < size) {
            int length = Math.min(size - at, 1 + random.nextInt(1 << (3 + random.nextInt(15))));
            int end = at + length;
            int variety = 1 + random.nextInt(1 << random.nextInt(9));
            switch (random.nextInt(6)) {
                case 0 -> {
                    for (; at < end; at++) {
                        bytes[at] = (byte) random.nextInt(256);
                    }
                }
                case 1 -> {
                    for (; at < end; at++) {
                        bytes[at] = (byte) Math.min(Math.abs(random.nextGaussian() * variety), 255);
                    }
                }
                case 2 -> {
                    byte value = (byte) random.nextInt(256);
                    for (; at < end; at++) {
                        bytes[at] = value;
                    }
                }
                case 3 -> {
                    int from = random.nextInt(at + 1);
                    for (; at < end; at++, from++) {
                        bytes[at] = random.nextInt(1 + variety) == 0 ? (byte) random.nextInt(256) : bytes[from];
                    }
                }
                case 4 -> {
                    int record = 1 + random.nextInt(40);
                    for (; at < end; at++) {
                        bytes[at] = at < record || random.nextInt(record) == 0
                                ? (byte) (random.nextInt(variety) + 'a')
                                : bytes[at - record];
                    }
                }
                default -> {
                    while (at < end) {
                        int word = random.nextInt(variety);
                        for (int i = word % 9; i >= 0 && at < end; i--) {
                            bytes[at++] = (byte) (' ' + (word * 31 + i * i * 17) % 90);
                        }
                    }
                }
            }
        }
        return bytes;
    }
}

package dev.coldstart.linux;

import java.lang.foreign.MemorySegment;

/** Memory that native code of others lends us for the time of a call. */
public final class LentMemory {
    private LentMemory() {}

    /** The memory at an address. The lender's word is all there is: nothing checks that it is there, or still is. */
    public static MemorySegment at(long address, long bytes) {
        return MemorySegment.ofAddress(address).reinterpret(bytes);
    }
}

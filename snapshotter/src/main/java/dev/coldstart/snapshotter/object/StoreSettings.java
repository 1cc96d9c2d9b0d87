package dev.coldstart.snapshotter.object;

/**
 * What an operator says of the store.
 *
 * @param diskMax most that objects may take on disk; a share is one of the file system
 * @param freeMin what has to stay free on that file system; a share is one of it
 * @param ramMax bytes of the RAM tier; 0 for none
 * @param verify when an object's bytes are compared with its name
 * @param scrubDays days in which each complete object is read and compared once; 0 for never
 */
public record StoreSettings(Size diskMax, Size freeMin, long ramMax, Verify verify, int scrubDays) {
    /** When an object's bytes are compared with its name. */
    public enum Verify {
        /** When they arrive. */
        ONCE,
        /** Also whenever the object is opened; then overlayfs must not find it on disk by itself. */
        ALWAYS
    }

    /** What holds where the configuration says nothing. */
    public static final StoreSettings DEFAULTS =
            new StoreSettings(new Size(80, Size.Unit.PERCENT), new Size(5, Size.Unit.PERCENT), 0, Verify.ONCE, 7);
}

package dev.coldstart.snapshotter.tree;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * POSIX access control lists as extended attributes: a word with the version, then for each entry its tag, permissions and
 * id (include/uapi/linux/posix_acl_xattr.h). What the kernel refuses to set must not lie in a tree, where the first check
 * of a permission would fail on it.
 */
final class PosixAcl {
    private static final int VERSION = 2;
    private static final int ENTRY = 8;

    private static final int USER_OBJ = 0x01;
    private static final int USER = 0x02;
    private static final int GROUP_OBJ = 0x04;
    private static final int GROUP = 0x08;
    private static final int MASK = 0x10;
    private static final int OTHER = 0x20;

    private PosixAcl() {}

    /**
     * What is left of a list after setting it and then the permissions, as unpacking does: the entries that are the
     * permissions follow them.
     *
     * @param permissions of the file; -1 for a list that is a directory's default and has nothing to do with them
     * @return null if the list says no more than the permissions do, or is of a version that the kernel does not know
     * @throws IllegalArgumentException if the kernel would not take it (posix_acl_valid() of fs/posix_acl.c)
     */
    static byte @Nullable [] settle(byte[] value, int permissions) {
        ByteBuffer acl = ByteBuffer.wrap(value.clone()).order(ByteOrder.LITTLE_ENDIAN);
        require(value.length >= 4 && value.length % ENTRY == 4);
        if (acl.getInt(0) != VERSION || value.length == 4) {
            return null;
        }
        int seen = 0;
        int last = 0;
        int mask = -1;
        int group = -1;
        for (int at = 4; at < value.length; at += ENTRY) {
            int tag = acl.getShort(at);
            boolean many = tag == USER || tag == GROUP;
            require(many || tag == USER_OBJ || tag == GROUP_OBJ || tag == MASK || tag == OTHER);
            require(tag > last || (many && tag == last));
            require((acl.getShort(at + 2) & ~7) == 0 && (!many || acl.getInt(at + 4) != -1));
            seen |= tag;
            last = tag;
            mask = tag == MASK ? at : mask;
            group = tag == GROUP_OBJ ? at : group;
        }
        require((seen & (USER_OBJ | GROUP_OBJ | OTHER)) == (USER_OBJ | GROUP_OBJ | OTHER));
        require((seen & (USER | GROUP)) == 0 || mask >= 0);
        if (permissions < 0) {
            return acl.array();
        }
        if (seen == (USER_OBJ | GROUP_OBJ | OTHER)) {
            return null;
        }
        acl.putShort(4 + 2, (short) (permissions >> 6 & 7));
        acl.putShort((mask >= 0 ? mask : group) + 2, (short) (permissions >> 3 & 7));
        acl.putShort(value.length - ENTRY + 2, (short) (permissions & 7));
        return acl.array();
    }

    private static void require(boolean sound) {
        if (!sound) {
            throw new IllegalArgumentException("no access control list");
        }
    }
}

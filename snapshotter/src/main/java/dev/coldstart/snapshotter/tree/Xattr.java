package dev.coldstart.snapshotter.tree;

import org.jspecify.annotations.Nullable;

/**
 * An extended attribute that EROFS can hold.
 *
 * @param prefix EROFS's number for the namespace, one of the {@code EROFS_XATTR_INDEX_*}
 * @param suffix the name behind the namespace, a byte per char
 * @param value the value, at most 65535 bytes; the caller's array, not to be changed afterwards
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody
public record Xattr(int prefix, String suffix, byte[] value) {
    static final int TRUSTED = 4;

    private static final int USER = 1;
    static final int POSIX_ACL_ACCESS = 2;
    static final int POSIX_ACL_DEFAULT = 3;
    static final int SECURITY = 6;
    private static final int MAX_NAME = 255;

    /**
     * An attribute by its whole name.
     *
     * @param name such as {@code security.capability}, a byte per char
     * @return null if its namespace is one that EROFS does not know (nor could the kernel set it elsewhere)
     * @throws TreeException if the name or the value is longer than Linux allows
     */
    public static @Nullable Xattr of(String name, byte[] value) throws TreeException {
        if (name.length() > MAX_NAME || value.length > 0xffff) {
            throw new TreeException("the extended attribute " + Tree.printable(name) + " has a name or value too long");
        }
        if (name.equals("system.posix_acl_access")) {
            return new Xattr(POSIX_ACL_ACCESS, "", value);
        }
        if (name.equals("system.posix_acl_default")) {
            return new Xattr(POSIX_ACL_DEFAULT, "", value);
        }
        int dot = name.indexOf('.');
        int prefix = switch (name.substring(0, Math.max(dot, 0))) {
            case "user" -> USER;
            case "trusted" -> TRUSTED;
            case "security" -> SECURITY;
            default -> 0;
        };
        return prefix == 0 || dot + 1 == name.length() || name.indexOf(0) >= 0
                ? null
                : new Xattr(prefix, name.substring(dot + 1), value);
    }

    /** The whole name, a byte per char; null if the prefix is none of EROFS's. */
    public @Nullable String name() {
        return switch (prefix) {
            case USER -> "user." + suffix;
            case POSIX_ACL_ACCESS -> "system.posix_acl_access" + suffix;
            case POSIX_ACL_DEFAULT -> "system.posix_acl_default" + suffix;
            case TRUSTED -> "trusted." + suffix;
            case SECURITY -> "security." + suffix;
            default -> null;
        };
    }

    boolean hasSameName(Xattr other) {
        return prefix == other.prefix && suffix.equals(other.suffix);
    }

    boolean isCapability() {
        return prefix == SECURITY && suffix.equals("capability");
    }

    /**
     * What the kernel makes of it on a file of this kind.
     *
     * @return null if such a file does not have it
     * @throws TreeException if the kernel would not set it
     */
    @Nullable
    Xattr settle(Content content, int permissions, String path) throws TreeException {
        boolean directory = content instanceof Content.Directory;
        boolean symlink = content instanceof Content.Symlink;
        boolean regular = content instanceof Content.Bytes
                || content instanceof Content.Sparse
                || content instanceof Content.Redirect;
        switch (prefix) {
            case USER -> {
                // xattr_permission() of fs/xattr.c
                return regular || directory ? this : null;
            }
            case POSIX_ACL_ACCESS, POSIX_ACL_DEFAULT -> {
                if (symlink) {
                    return null;
                }
                try {
                    byte[] acl = PosixAcl.settle(value, prefix == POSIX_ACL_ACCESS ? permissions : -1);
                    if (acl == null) {
                        return null;
                    }
                    if (prefix == POSIX_ACL_DEFAULT && !directory) {
                        throw new TreeException(Tree.printable(path)
                                + " has a default access control list, which only directories can have");
                    }
                    return new Xattr(prefix, suffix, acl);
                } catch (IllegalArgumentException e) {
                    throw new TreeException(Tree.printable(path) + " has a malformed access control list");
                }
            }
            default -> {
                if (isCapability() && !isSoundCapability()) {
                    throw new TreeException(Tree.printable(path) + " has a malformed security.capability");
                }
                return this;
            }
        }
    }

    /** {@code struct vfs_ns_cap_data} of revision 2 or 3, as cap_convert_nscap() of security/commoncap.c wants it. */
    private boolean isSoundCapability() {
        return (value.length == 20 && value[3] == 2) || (value.length == 24 && value[3] == 3);
    }

    /** Bytes it takes on disk: {@code struct erofs_xattr_entry}, name and value, padded to 4. */
    int diskSize() {
        return diskSize(suffix.length(), value.length);
    }

    static int diskSize(int suffix, int value) {
        return (4 + suffix + value + 3) & ~3;
    }
}

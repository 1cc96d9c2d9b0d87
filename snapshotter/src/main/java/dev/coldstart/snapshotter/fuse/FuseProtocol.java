package dev.coldstart.snapshotter.fuse;

/** Numbers and offsets of include/uapi/linux/fuse.h, protocol 7.38; all little-endian on the machines we run on. */
final class FuseProtocol {
    static final int MAJOR = 7;
    static final int MINOR = 38;
    /** Linux 5.2; no older kernel has been looked at. */
    static final int OLDEST_MINOR = 31;

    // enum fuse_opcode
    static final int LOOKUP = 1;
    static final int FORGET = 2;
    static final int GETATTR = 3;
    static final int READ = 15;
    static final int STATFS = 17;
    static final int INIT = 26;
    static final int READDIR = 28;
    static final int INTERRUPT = 36;
    static final int DESTROY = 38;
    static final int BATCH_FORGET = 42;

    // struct fuse_in_header, 40 bytes
    static final int IN_OPCODE = 4;
    static final int IN_UNIQUE = 8;
    static final int IN_NODEID = 16;
    static final int IN_PID = 32;
    static final int IN_BODY = 40;

    // struct fuse_out_header, 16 bytes: u32 len, i32 error, u64 unique
    static final int OUT_ERROR = 4;
    static final int OUT_UNIQUE = 8;
    static final int OUT_BODY = 16;

    // struct fuse_init_in: u32 major, u32 minor, u32 max_readahead, u32 flags, u32 flags2
    static final int INIT_IN_MAJOR = IN_BODY;
    static final int INIT_IN_MINOR = IN_BODY + 4;
    static final int INIT_IN_MAX_READAHEAD = IN_BODY + 8;
    static final int INIT_IN_FLAGS = IN_BODY + 12;

    // struct fuse_init_out, 64 bytes
    static final int INIT_OUT_BYTES = 64;
    static final int INIT_OUT_MAX_READAHEAD = 8;
    static final int INIT_OUT_FLAGS = 12;
    static final int INIT_OUT_MAX_BACKGROUND = 16;
    static final int INIT_OUT_CONGESTION = 18;
    static final int INIT_OUT_MAX_WRITE = 20;
    static final int INIT_OUT_TIME_GRAN = 24;
    static final int INIT_OUT_MAX_PAGES = 28;

    static final int INIT_ASYNC_READ = 1;
    static final int INIT_PARALLEL_DIROPS = 1 << 18;
    static final int INIT_MAX_PAGES = 1 << 22;

    // struct fuse_attr, 88 bytes
    static final int ATTR_INO = 0;
    static final int ATTR_SIZE = 8;
    static final int ATTR_BLOCKS = 16;
    static final int ATTR_MODE = 60;
    static final int ATTR_NLINK = 64;
    static final int ATTR_BLKSIZE = 80;
    static final int ATTR_BYTES = 88;

    // struct fuse_entry_out: u64 nodeid, u64 generation, u64 entry_valid, u64 attr_valid, u32 nsec twice, attr
    static final int ENTRY_BYTES = 40 + ATTR_BYTES;
    static final int ENTRY_VALID = 16;
    static final int ENTRY_ATTR_VALID = 24;
    static final int ENTRY_ATTR = 40;

    // struct fuse_attr_out: u64 attr_valid, u32 nsec, u32 dummy, attr
    static final int ATTR_OUT_BYTES = 16 + ATTR_BYTES;
    static final int ATTR_OUT_ATTR = 16;

    // struct fuse_read_in: u64 fh, u64 offset, u32 size, …
    static final int READ_IN_OFFSET = IN_BODY + 8;
    static final int READ_IN_SIZE = IN_BODY + 16;

    // struct fuse_interrupt_in: u64 unique
    static final int INTERRUPT_IN_UNIQUE = IN_BODY;

    // struct fuse_kstatfs, 80 bytes: u64 blocks, bfree, bavail, files, ffree, u32 bsize, namelen, frsize, …
    static final int STATFS_BYTES = 80;
    static final int STATFS_BSIZE = 40;
    static final int STATFS_NAMELEN = 44;
    static final int STATFS_FRSIZE = 48;

    static final int S_IFDIR = 0040000;
    static final int S_IFREG = 0100000;

    private FuseProtocol() {}
}

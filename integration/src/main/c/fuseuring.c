/*
 * FUSE by read and write on cloned descriptors of /dev/fuse against FUSE over io_uring: the load of `integration/bench uring`.
 * One trivial file system, a large file and many small ones answered from memory, is served both ways at once, and measured in
 * turns in one run; then servers are killed while reads wait for them, as a snapshotter may be, and what becomes of the
 * reads under a next server is counted. Prints a table and, as its last line, RESULT {JSON}.
 *
 *   fuseuring uring ROUNDS                the above: medians of ROUNDS rounds; needs root and Linux 6.14; sets the fuse module's
 *                                         parameter enable_uring for the time it runs
 *   fuseuring store ROUNDS                read and write only, on a fresh mount each time: first reads without and with bytes
 *                                         that are pushed into the page cache before they are asked for (FUSE_NOTIFY_STORE):
 *                                         small files when their names were looked up, and what follows a read of the large one
 *
 * The interface: include/uapi/linux/fuse.h since 7.42 (struct fuse_uring_req_header, FUSE_IO_URING_CMD_*); a queue per possible
 * CPU, each entry of it with a header and a payload of the largest request, registered once, then committed and fetched.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024L
#define MIB (1024L * KIB)
#define BIG (256 * MIB)
#define SMALL (8 * KIB)
#define SMALL_FILES 2000
#define MEDIUM (128 * KIB)
#define MEDIUM_FILES 1000
#define MAX_READ MIB
/* As many as the snapshotter has. */
#define DEVICES 4
#define DEPTH 4
#define MAX_CPUS 256
#define READERS 8
#define DEATHS 20
#define MOUNTS 16
/* How one server follows another: both ways, with the last one's buffers, and by read and write after io_uring. */
#define NEXT_WAYS 4
/* Of one sequential measurement; their median counts. */
#define PASSES 5

#define YEAR (365L * 24 * 3600)
#define ROOT_NODE 1
#define BIG_NODE 2
/* Has the same bytes; a server that holds back takes reads of it and never answers. */
#define HELD_NODE 3
#define FIRST_SMALL 10000
#define FIRST_MEDIUM 20000

/* Younger than the header of Debian 12. */
#define OVER_IO_URING_FLAG2 (1u << 9)
#define NOTIFY_RESEND 7
enum { REGISTER = 1, COMMIT_AND_FETCH = 2 };

struct entry_in_out {
    uint64_t flags, commit_id;
    uint32_t payload, padding;
    uint64_t reserved;
};

struct ring_header {
    char in_out[128];
    char op_in[128];
    struct entry_in_out entry;
};

struct ring_command {
    uint64_t flags, commit_id;
    uint16_t qid;
    uint8_t padding[6];
};

static const char *const PARAMETER = "/sys/module/fuse/parameters/enable_uring";
static char directory[] = "/tmp/fuseuring-XXXXXX";
static int cpus;
static char *bytes;

static void *shared(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) err(1, "mmap %zu bytes", size);
    return p;
}

static double now(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) err(1, "clock_gettime");
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double q) {
    qsort(values, count, sizeof *values, compare);
    return values[(size_t)(q * (count - 1))];
}

/* ---- the file system ---- */

static bool holds_back;

static uint64_t size_of(uint64_t node) {
    return node == ROOT_NODE ? 0 : node < FIRST_SMALL ? BIG : node < FIRST_MEDIUM ? SMALL : MEDIUM;
}

static uint64_t base_of(uint64_t node) {
    return node < FIRST_SMALL ? 0 : node < FIRST_MEDIUM ? (node - FIRST_SMALL) * SMALL : (node - FIRST_MEDIUM) * MEDIUM;
}

static void attributes(struct fuse_attr *attr, uint64_t node) {
    attr->ino = node;
    attr->mode = node == ROOT_NODE ? S_IFDIR | 0555 : S_IFREG | 0444;
    attr->nlink = 1;
    attr->size = size_of(node);
    attr->blksize = 4096;
}

/*
 * Answers one request. `name` is what follows the fixed part. Returns the bytes of the answer, a negated errno, or 1 << 30 if
 * there shall be no answer.
 */
#define NO_ANSWER (1 << 30)
static int answer(const struct fuse_in_header *in, const void *fixed, const char *name, char *out) {
    switch (in->opcode) {
    case FUSE_LOOKUP: {
        struct fuse_entry_out *entry = (void *)out;
        int number;
        memset(entry, 0, sizeof *entry);
        if (!strcmp(name, "big"))
            entry->nodeid = BIG_NODE;
        else if (!strcmp(name, "held"))
            entry->nodeid = HELD_NODE;
        else if (sscanf(name, "f%d", &number) == 1 && number < SMALL_FILES)
            entry->nodeid = FIRST_SMALL + number;
        else if (sscanf(name, "m%d", &number) == 1 && number < MEDIUM_FILES)
            entry->nodeid = FIRST_MEDIUM + number;
        else
            return -ENOENT;
        /* Names of small files are asked for each time. */
        entry->entry_valid = entry->nodeid < FIRST_SMALL ? YEAR : 0;
        entry->attr_valid = YEAR;
        attributes(&entry->attr, entry->nodeid);
        return sizeof *entry;
    }
    case FUSE_GETATTR: {
        struct fuse_attr_out *attr = (void *)out;
        memset(attr, 0, sizeof *attr);
        attr->attr_valid = YEAR;
        attributes(&attr->attr, in->nodeid);
        return sizeof *attr;
    }
    case FUSE_READ: {
        const struct fuse_read_in *read = fixed;
        uint64_t size = size_of(in->nodeid), base = base_of(in->nodeid);
        if (holds_back && in->nodeid == HELD_NODE) return NO_ANSWER;
        if (read->offset >= size) return 0;
        uint64_t length = read->size < size - read->offset ? read->size : size - read->offset;
        /* A server of files reads them into its own buffer as well. */
        memcpy(out, bytes + base + read->offset, length);
        return length;
    }
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return NO_ANSWER;
    default:
        return -ENOSYS;
    }
}

/* ---- servers ---- */

/* An entry of a queue, and a copy of the request in it, which its answer overwrites. */
struct buffer {
    struct ring_header header;
    struct fuse_in_header in;
    char name[256];
};

/* When bytes are pushed that nobody has asked for. */
enum store { NEVER, AFTER_LOOKUP, SOON_AFTER_LOOKUP, AFTER_LOOKUP_BY_WORKER, AFTER_READ };
/* What a reader may need to take note of the answer: before that the node is not known. */
#define SOON 10e-6

struct store_job {
    uint64_t node, offset;
    double due;
};

/* Of the server, for its parent to see. */
struct counts {
    uint64_t reads, stored, refused, dropped;
};

/* What one server after another needs, to serve the same mounted file system. */
struct way {
    bool ring;
    /* The next server has the buffers that the last one registered, at their addresses. */
    bool keeps_buffers;
    enum store store;
    struct counts *counts;
    char mount[64];
    int devices[DEVICES];
    struct buffer *buffers;
    char *payloads;
};

static int init(bool ring, char *out) {
    struct fuse_init_out *init = (void *)out;
    memset(init, 0, sizeof *init);
    init->major = 7;
    init->minor = 42;
    init->max_readahead = MAX_READ;
    init->flags = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_INIT_EXT;
    init->flags2 = ring ? OVER_IO_URING_FLAG2 : 0;
    init->max_background = init->congestion_threshold = 32;
    init->max_write = 4096;
    init->max_pages = MAX_READ / 4096;
    init->time_gran = 1;
    return sizeof *init;
}


struct server {
    struct way *way;
    int number;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct store_job jobs[64];
    unsigned taken, added;
} stores = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

/* Waits for pages that a read has locked, so for whoever answers that read. */
static void store(struct way *way, struct store_job job) {
    uint64_t size = size_of(job.node), base = base_of(job.node);
    if (job.offset >= size) return;
    uint32_t length = size - job.offset < MAX_READ ? size - job.offset : MAX_READ;
    struct fuse_notify_store_out out = {job.node, job.offset, length, 0};
    struct fuse_out_header head = {sizeof head + sizeof out + length, FUSE_NOTIFY_STORE, 0};
    struct iovec vector[] = {{&head, sizeof head}, {&out, sizeof out}, {bytes + base + job.offset, length}};
    bool done = writev(way->devices[0], vector, 3) > 0;
    __atomic_add_fetch(done ? &way->counts->stored : &way->counts->refused, 1, __ATOMIC_RELAXED);
}

static __attribute__((noreturn)) void *serve_stores(void *argument) {
    while (true) {
        pthread_mutex_lock(&stores.lock);
        while (stores.taken == stores.added) pthread_cond_wait(&stores.filled, &stores.lock);
        struct store_job job = stores.jobs[stores.taken++ % 64];
        pthread_mutex_unlock(&stores.lock);
        for (double due = job.due; now(CLOCK_MONOTONIC) < due;) {}
        store(argument, job);
    }
}

static void store_later(struct way *way, struct store_job job) {
    pthread_mutex_lock(&stores.lock);
    if (stores.added - stores.taken < 64) {
        stores.jobs[stores.added++ % 64] = job;
        pthread_cond_signal(&stores.filled);
    } else
        way->counts->dropped++;
    pthread_mutex_unlock(&stores.lock);
}

/* What may be pushed once a request has been answered. */
static void push(struct way *way, const struct fuse_in_header *in, const void *fixed, const char *out) {
    if (in->opcode == FUSE_READ) __atomic_add_fetch(&way->counts->reads, 1, __ATOMIC_RELAXED);
    if (in->opcode == FUSE_READ && way->store == AFTER_READ) {
        const struct fuse_read_in *read = fixed;
        if (in->nodeid == BIG_NODE || (in->nodeid >= FIRST_MEDIUM && read->offset == 0))
            store_later(way, (struct store_job){in->nodeid, read->offset + read->size, 0});
    }
    if (in->opcode != FUSE_LOOKUP) return;
    uint64_t node = ((const struct fuse_entry_out *)out)->nodeid;
    if (node < FIRST_SMALL) return;
    if (way->store == AFTER_LOOKUP) store_later(way, (struct store_job){node, 0, 0});
    if (way->store == SOON_AFTER_LOOKUP) store_later(way, (struct store_job){node, 0, now(CLOCK_MONOTONIC) + SOON});
    if (way->store == AFTER_LOOKUP_BY_WORKER) store(way, (struct store_job){node, 0, 0});
}

/* Takes and answers requests by read and write. Under io_uring INIT and what needs no answer still comes this way. */
static void *serve_device(void *argument) {
    struct server *server = argument;
    int device = server->way->devices[server->number];
    static __thread char request[64 * KIB] __attribute__((aligned(8)));
    char *out = aligned_alloc(4096, MAX_READ);
    const struct fuse_in_header *in = (void *)request;
    while (true) {
        ssize_t n = read(device, request, sizeof request);
        if (n < 0 && errno == ENODEV) return NULL;
        if (n < (ssize_t)sizeof *in) continue;
        int rc = in->opcode == FUSE_INIT ? init(server->way->ring, out)
                                         : answer(in, request + sizeof *in, request + sizeof *in, out);
        if (rc == NO_ANSWER) continue;
        struct fuse_out_header head = {sizeof head + (rc > 0 ? rc : 0), rc < 0 ? rc : 0, in->unique};
        struct iovec vector[] = {{&head, sizeof head}, {out, rc > 0 ? rc : 0}};
        /* A reader may have gone meanwhile. */
        if (writev(device, vector, 2) < 0 && errno != ENOENT) warn("answer on /dev/fuse");
        if (in->opcode == FUSE_INIT && server->way->ring) return NULL;
        if (rc > 0 && server->way->counts) push(server->way, in, request + sizeof *in, out);
    }
}

struct ring {
    int fd;
    unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_cqe *cqes;
    char *sqes;
    unsigned unsubmitted;
};

static void open_ring(struct ring *ring) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    ring->fd = syscall(__NR_io_uring_setup, 2 * DEPTH, &params);
    if (ring->fd < 0) err(1, "io_uring_setup");
    size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    size_t sq_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    int flags = MAP_SHARED | MAP_POPULATE;
    char *base = mmap(NULL, size > sq_size ? size : sq_size, PROT_READ | PROT_WRITE, flags, ring->fd, IORING_OFF_SQ_RING);
    ring->sqes = mmap(NULL, params.sq_entries * 128, PROT_READ | PROT_WRITE, flags, ring->fd, IORING_OFF_SQES);
    if (base == MAP_FAILED || ring->sqes == MAP_FAILED) err(1, "mmap of a ring");
    ring->sq_tail = (void *)(base + params.sq_off.tail);
    ring->sq_mask = (void *)(base + params.sq_off.ring_mask);
    ring->sq_array = (void *)(base + params.sq_off.array);
    ring->cq_head = (void *)(base + params.cq_off.head);
    ring->cq_tail = (void *)(base + params.cq_off.tail);
    ring->cq_mask = (void *)(base + params.cq_off.ring_mask);
    ring->cqes = (void *)(base + params.cq_off.cqes);
    ring->unsubmitted = 0;
}

static void command(struct ring *ring, int device, int op, int queue, int entry, uint64_t commit_id, const struct iovec *vector) {
    unsigned tail = *ring->sq_tail, slot = tail & *ring->sq_mask;
    struct io_uring_sqe *sqe = (void *)(ring->sqes + 128 * slot);
    memset(sqe, 0, 128);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = device;
    sqe->cmd_op = op;
    sqe->user_data = entry;
    if (vector) {
        sqe->addr = (uintptr_t)vector;
        sqe->len = 2;
    }
    struct ring_command *body = (void *)((char *)sqe + offsetof(struct io_uring_sqe, addr3));
    body->commit_id = commit_id;
    body->qid = queue;
    ring->sq_array[slot] = slot;
    __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
    ring->unsubmitted++;
}

/* Puts the answer to the request in an entry there. False if there shall be none. */
static bool answer_entry(struct buffer *buffer, char *payload) {
    struct ring_header *header = &buffer->header;
    int rc = answer(&buffer->in, header->op_in, buffer->name, payload);
    if (rc == NO_ANSWER) return false;
    struct fuse_out_header head = {sizeof head + (rc > 0 ? rc : 0), rc < 0 ? rc : 0, buffer->in.unique};
    memcpy(header->in_out, &head, sizeof head);
    header->entry.payload = rc > 0 ? rc : 0;
    return true;
}

static void copy_request(struct buffer *buffer, const char *payload) {
    if (buffer->in.unique == buffer->header.entry.commit_id) return;
    struct fuse_in_header in;
    memcpy(&in, buffer->header.in_out, sizeof in);
    if (in.opcode == FUSE_LOOKUP) memcpy(buffer->name, payload, sizeof buffer->name);
    memcpy((char *)&buffer->in + 16, (char *)&in + 16, sizeof in - 16);
    buffer->in.len = in.len;
    buffer->in.opcode = in.opcode;
    __atomic_store_n(&buffer->in.unique, in.unique, __ATOMIC_RELEASE);
}

static void *serve_ring(void *argument) {
    struct server *server = argument;
    struct way *way = server->way;
    int queue = server->number;
    struct ring ring;
    struct iovec vectors[DEPTH][2];
    struct buffer *buffers = way->buffers + queue * DEPTH;
    char *payloads = way->payloads + queue * DEPTH * MAX_READ;
    bool registering[DEPTH];
    pin(queue);
    open_ring(&ring);
    for (int i = 0; i < DEPTH; i++) {
        char *payload = payloads + i * MAX_READ;
        uint64_t left = buffers[i].header.entry.commit_id;
        vectors[i][0] = (struct iovec){&buffers[i].header, sizeof buffers[i].header};
        vectors[i][1] = (struct iovec){payload, MAX_READ};
        if (left) copy_request(&buffers[i], payload);
        registering[i] = !left || !answer_entry(&buffers[i], payload);
        if (registering[i])
            command(&ring, way->devices[0], REGISTER, queue, i, 0, vectors[i]);
        else
            command(&ring, way->devices[0], COMMIT_AND_FETCH, queue, i, left, NULL);
    }
    while (true) {
        long n = syscall(__NR_io_uring_enter, ring.fd, ring.unsubmitted, 1, IORING_ENTER_GETEVENTS, NULL, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) err(1, "io_uring_enter");
        ring.unsubmitted -= n;
        unsigned head = *ring.cq_head;
        for (; head != __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE); head++) {
            const struct io_uring_cqe *cqe = &ring.cqes[head & *ring.cq_mask];
            int i = cqe->user_data;
            char *payload = payloads + i * MAX_READ;
            if (cqe->res == -ENOTCONN || cqe->res == -ECONNABORTED || cqe->res == -ECANCELED) return NULL;
            if (cqe->res == -ENOENT && !registering[i]) {
                /* What the last server had in this entry it has answered. */
                registering[i] = true;
                command(&ring, way->devices[0], REGISTER, queue, i, 0, vectors[i]);
                continue;
            }
            if (cqe->res) {
                warnx("io_uring command: %s", strerror(-cqe->res));
                continue;
            }
            registering[i] = false;
            copy_request(&buffers[i], payload);
            if (answer_entry(&buffers[i], payload))
                command(&ring, way->devices[0], COMMIT_AND_FETCH, queue, i, buffers[i].header.entry.commit_id, NULL);
        }
        __atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
    }
}

/* Starts a server of a mounted file system: its first one or, after a death, a next one. */
static pid_t serve(struct way *way, bool first, bool holding_back) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    holds_back = holding_back;
    if (way->ring && !way->keeps_buffers) {
        way->buffers = shared(cpus * DEPTH * sizeof *way->buffers);
        way->payloads = shared(cpus * DEPTH * MAX_READ);
    }
    static struct server devices[DEVICES], rings[MAX_CPUS];
    pthread_t thread;
    if (!first) {
        struct fuse_out_header resend = {sizeof resend, NOTIFY_RESEND, 0};
        if (write(way->devices[0], &resend, sizeof resend) < 0) warn("FUSE_NOTIFY_RESEND");
    }
    if (way->counts && pthread_create(&thread, NULL, serve_stores, way)) errx(1, "pthread_create");
    for (int i = 0; i < DEVICES; i++) devices[i] = (struct server){way, i};
    if (way->ring && first) serve_device(&devices[0]);
    for (int i = 0; way->ring && i < cpus; i++) {
        rings[i] = (struct server){way, i};
        if (pthread_create(&thread, NULL, serve_ring, &rings[i])) errx(1, "pthread_create");
    }
    for (int i = 0; i < (way->ring ? 1 : DEVICES); i++)
        if (pthread_create(&thread, NULL, serve_device, &devices[i])) errx(1, "pthread_create");
    while (true) pause();
}

static void end(pid_t server) {
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

static int open_file(const struct way *way, const char *name, int flags) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", way->mount, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) err(1, "open %s", path);
    return fd;
}

static pid_t mount_way(struct way *way, bool holding_back) {
    static int number;
    char options[128];
    snprintf(way->mount, sizeof way->mount, "%s/%d", directory, number++ % MOUNTS);
    if (mkdir(way->mount, 0755)) err(1, "mkdir %s", way->mount);
    for (int i = 0; i < DEVICES; i++)
        if ((way->devices[i] = open("/dev/fuse", O_RDWR | O_CLOEXEC)) < 0) err(1, "open /dev/fuse");
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", way->devices[0]);
    if (mount("fuseuring", way->mount, "fuse.fuseuring", MS_RDONLY | MS_NOSUID | MS_NODEV, options))
        err(1, "mount %s", way->mount);
    for (int i = 1; i < DEVICES; i++)
        if (ioctl(way->devices[i], FUSE_DEV_IOC_CLONE, &way->devices[0])) err(1, "FUSE_DEV_IOC_CLONE");
    if (way->keeps_buffers) {
        way->buffers = shared(cpus * DEPTH * sizeof *way->buffers);
        way->payloads = shared(cpus * DEPTH * MAX_READ);
    }
    pid_t server = serve(way, true, holding_back);
    /* The kernel learns that closing need not be asked: a process that ends would wait for a server that is dead. */
    close(open_file(way, "big", 0));
    return server;
}

static void unmount_way(struct way *way) {
    /* Also ends what waits for an answer. */
    umount2(way->mount, MNT_FORCE | MNT_DETACH);
    for (int i = 0; i < DEVICES; i++) close(way->devices[i]);
    rmdir(way->mount);
}

/* ---- what is measured ---- */

enum { SMALL_P50, SMALL_P99, SMALL_CPU, PARALLEL, SEQ_128K, SEQ_1M, BUFFERED, BUFFERED_CPU, FILES_P50, FILES_P99, FILES_CPU, MEASURES };
static const struct {
    const char *name;
    bool higher_is_better;
} measures[MEASURES] = {
    {"4 KiB direct reads, one reader: p50 µs", false},
    {"  p99 µs", false},
    {"  processor µs per read, both sides", false},
    {"4 KiB direct reads, 8 readers: 1000/s", true},
    {"sequential, direct, 128 KiB: GB/s", true},
    {"sequential, direct, 1 MiB: GB/s", true},
    {"sequential, through a dropped page cache: GB/s", true},
    {"  processor µs per MiB, both sides", false},
    {"look-up, open and read of 8 KiB files: p50 µs", false},
    {"  p99 µs", false},
    {"  processor µs per file, both sides", false},
};

static double processor(pid_t server) {
    clockid_t clock;
    if (clock_getcpuclockid(server, &clock)) errx(1, "no processor clock of the server");
    return now(clock) + now(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void check(ssize_t n, size_t length, const char *read, uint64_t offset) {
    if (n != (ssize_t)length) err(1, "read of %zu bytes at %lu gave %zd", length, offset, n);
    if (memcmp(read, bytes + offset, length)) errx(1, "wrong bytes at %lu", offset);
}

static void random_reads(int fd, int count, uint64_t seed, double *times) {
    char *into = aligned_alloc(4096, 4096);
    for (int i = 0; i < count; i++) {
        uint64_t offset = next_random(&seed) % (BIG / 4096) * 4096;
        double start = now(CLOCK_MONOTONIC);
        ssize_t n = pread(fd, into, 4096, offset);
        if (times) times[i] = 1e6 * (now(CLOCK_MONOTONIC) - start);
        check(n, 4096, into, offset);
    }
    free(into);
}

struct reader {
    int fd;
    uint64_t seed;
};

static void *parallel_reads(void *argument) {
    struct reader *reader = argument;
    random_reads(reader->fd, 2000, reader->seed, NULL);
    return NULL;
}

static double sequential(int fd, size_t piece, off_t length) {
    char *into = aligned_alloc(4096, piece);
    double start = now(CLOCK_MONOTONIC);
    for (off_t offset = 0; offset < length; offset += piece)
        if (pread(fd, into, piece, offset) != (ssize_t)piece) err(1, "sequential read at %ld", offset);
    double seconds = now(CLOCK_MONOTONIC) - start;
    free(into);
    return length / seconds / 1e9;
}

static void measure(struct way *way, pid_t server, double *result) {
    enum { READS = 5000 };
    static double times[READS];
    int direct = open_file(way, "big", O_DIRECT), buffered = open_file(way, "big", 0);

    random_reads(direct, 500, 7, NULL);
    double cpu = processor(server);
    random_reads(direct, READS, 99, times);
    result[SMALL_CPU] = 1e6 * (processor(server) - cpu) / READS;
    result[SMALL_P50] = quantile(times, READS, 0.5);
    result[SMALL_P99] = quantile(times, READS, 0.99);

    pthread_t threads[READERS];
    struct reader readers[READERS];
    double start = now(CLOCK_MONOTONIC);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){direct, 1000 + i};
        if (pthread_create(&threads[i], NULL, parallel_reads, &readers[i])) errx(1, "pthread_create");
    }
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    result[PARALLEL] = READERS * 2000 / (now(CLOCK_MONOTONIC) - start) / 1e3;

    result[SEQ_128K] = sequential(direct, 128 * KIB, BIG / 2);
    result[SEQ_1M] = sequential(direct, MIB, BIG);
    double speeds[PASSES];
    cpu = processor(server);
    for (int pass = 0; pass < PASSES; pass++) {
        speeds[pass] = sequential(buffered, MIB, BIG);
        posix_fadvise(buffered, 0, 0, POSIX_FADV_DONTNEED);
    }
    result[BUFFERED_CPU] = 1e6 * (processor(server) - cpu) / (PASSES * BIG / MIB);
    result[BUFFERED] = quantile(speeds, PASSES, 0.5);

    char into[SMALL], name[16];
    cpu = processor(server);
    for (int i = 0; i < SMALL_FILES; i++) {
        snprintf(name, sizeof name, "f%05d", i);
        start = now(CLOCK_MONOTONIC);
        int fd = open_file(way, name, 0);
        ssize_t n = read(fd, into, SMALL);
        times[i] = 1e6 * (now(CLOCK_MONOTONIC) - start);
        check(n, SMALL, into, i * SMALL);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    result[FILES_CPU] = 1e6 * (processor(server) - cpu) / SMALL_FILES;
    result[FILES_P50] = quantile(times, SMALL_FILES, 0.5);
    result[FILES_P99] = quantile(times, SMALL_FILES, 0.99);
    close(direct);
    close(buffered);
}

static void set_read_ahead(const struct way *way) {
    char path[128];
    struct stat st;
    if (stat(way->mount, &st)) err(1, "stat %s", way->mount);
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
    FILE *file = fopen(path, "w");
    if (!file || fputs("1024\n", file) < 0 || fclose(file)) err(1, "write %s", path);
}

/* ---- what a death does ---- */

enum { WAITING, RIGHT, WRONG, FAILED };

struct victim {
    volatile int state, error;
    volatile uint64_t reads;
    pid_t pid;
};

static void sleep_ms(int ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t)) {}
}

/* A process that reads once, or again and again until the file system is gone. */
static void start_victim(struct victim *victim, int fd, int number, bool forever) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid) {
        victim->pid = pid;
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(number % cpus);
    char *into = aligned_alloc(4096, 4096);
    uint64_t seed = 77 + number;
    do {
        uint64_t offset = next_random(&seed) % (BIG / 4096) * 4096;
        ssize_t n = pread(fd, into, 4096, offset);
        if (n != 4096) {
            victim->error = n < 0 ? errno : EIO;
            victim->state = FAILED;
            _exit(1);
        }
        if (memcmp(into, bytes + offset, 4096)) victim->state = WRONG;
        victim->reads++;
    } while (forever);
    if (victim->state == WAITING) victim->state = RIGHT;
    _exit(0);
}

static int count(const struct victim *victims, int many, int state) {
    int found = 0;
    for (int i = 0; i < many; i++) found += victims[i].state == state;
    return found;
}

static int await(const struct victim *victims, int many, int ms) {
    for (; ms > 0 && count(victims, many, WAITING); ms -= 10) sleep_ms(10);
    return count(victims, many, WAITING);
}

struct deaths {
    int waited, answered, failed, hung, fresh, fresh_hung, after_fresh;
    uint64_t reads;
    int load_failed, load_wrong, load_hung, load_error;
};

/* One death: more reads of each processor wait than its queue has entries, so that some are taken and some are not. */
static void one_death(struct deaths *deaths, bool ring, bool keeps_buffers, bool next_without) {
    struct way way = {.ring = ring, .keeps_buffers = keeps_buffers};
    int many = cpus * (DEPTH + 2);
    struct victim *victims = shared((many + cpus) * sizeof *victims), *fresh = victims + many;
    pid_t server = mount_way(&way, true);
    int fd = open_file(&way, "held", O_DIRECT);
    for (int i = 0; i < many; i++) start_victim(&victims[i], fd, i, false);
    sleep_ms(500);
    deaths->waited = count(victims, many, WAITING);
    end(server);
    if (next_without) way.ring = false;
    server = serve(&way, false, false);
    await(victims, many, 3000);
    deaths->answered = count(victims, many, RIGHT);
    /* New reads on each processor: whether they are answered, and whether they make the others go on. */
    for (int i = 0; i < cpus; i++) start_victim(&fresh[i], fd, i, false);
    deaths->fresh = cpus;
    deaths->fresh_hung = await(fresh, cpus, 2000);
    deaths->hung = await(victims, many, 2000);
    deaths->failed = count(victims, many, FAILED) + count(victims, many, WRONG);
    deaths->after_fresh = count(victims, many, RIGHT) - deaths->answered;
    unmount_way(&way);
    end(server);
    for (int i = 0; i < many + cpus; i++) waitpid(victims[i].pid, NULL, 0);
    close(fd);
}

/* Many deaths at random moments under readers that read all the time. */
static void many_deaths(struct deaths *deaths, bool ring, bool keeps_buffers) {
    struct way way = {.ring = ring, .keeps_buffers = keeps_buffers};
    struct victim *victims = shared(READERS * sizeof *victims);
    uint64_t before[READERS], seed = 4711;
    pid_t server = mount_way(&way, false);
    int fd = open_file(&way, "big", O_DIRECT);
    for (int i = 0; i < READERS; i++) start_victim(&victims[i], fd, i, true);
    for (int i = 0; i < DEATHS; i++) {
        sleep_ms(50 + next_random(&seed) % 50);
        end(server);
        server = serve(&way, false, false);
    }
    sleep_ms(1000);
    for (int i = 0; i < READERS; i++) before[i] = victims[i].reads;
    sleep_ms(2000);
    for (int i = 0; i < READERS; i++) {
        if (victims[i].state == FAILED) deaths->load_error = victims[i].error;
        deaths->reads += victims[i].reads;
        deaths->load_hung += victims[i].state != FAILED && victims[i].reads == before[i];
    }
    deaths->load_failed = count(victims, READERS, FAILED);
    deaths->load_wrong = count(victims, READERS, WRONG);
    for (int i = 0; i < READERS; i++) kill(victims[i].pid, SIGKILL);
    unmount_way(&way);
    end(server);
    for (int i = 0; i < READERS; i++) waitpid(victims[i].pid, NULL, 0);
    close(fd);
}

static void print_deaths(const char *what, const char *format, const struct deaths *deaths, size_t offset) {
    printf("%-64s", what);
    for (int i = 0; i < NEXT_WAYS; i++) printf(format, *(const int *)((const char *)&deaths[i] + offset));
    printf("\n");
}

static void fill(void) {
    uint64_t seed = 20;
    bytes = shared(BIG);
    for (long i = 0; i < BIG / 8; i++) ((uint64_t *)bytes)[i] = next_random(&seed);
}

enum { S_P50, S_P99, S_CPU, S_READS, M_P50, M_P99, M_CPU, M_READS, L_SPEED, L_CPU, L_READS, STORED, REFUSED, STORE_VALUES };
static const char *const store_values[STORE_VALUES] = {"2,000 files of 8 KiB: open, read: p50 µs", "  p99 µs",
    "  processor µs per file, both sides", "  reads that came to the server", "1,000 files of 128 KiB in pieces of 4: p50 µs",
    "  p99 µs", "  processor µs per file, both sides", "  reads that came to the server", "a large file, page cache dropped: GB/s",
    "  processor µs per MiB, both sides", "  reads that came to the server", "stores of all these that were taken", "  and refused"};

/* Reads each of many files for the first time, in pieces; gives microseconds of each. */
static void first_reads(const struct way *way, char letter, int many, uint64_t size, size_t piece, double *times) {
    static char into[MEDIUM];
    for (int i = 0; i < many; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c%05d", letter, i);
        double start = now(CLOCK_MONOTONIC);
        int fd = open_file(way, name, 0);
        for (uint64_t offset = 0; offset < size; offset += piece)
            if (read(fd, into + offset, piece) != (ssize_t)piece) err(1, "read %s at %lu", name, offset);
        times[i] = 1e6 * (now(CLOCK_MONOTONIC) - start);
        check(size, size, into, i * size);
        close(fd);
    }
}

static void measure_store(enum store store, double *result) {
    static double times[SMALL_FILES];
    struct way way = {.store = store, .counts = shared(sizeof *way.counts)};
    volatile struct counts *counts = way.counts;
    pid_t server = mount_way(&way, false);
    set_read_ahead(&way);

    double cpu = processor(server);
    first_reads(&way, 'f', SMALL_FILES, SMALL, SMALL, times);
    result[S_CPU] = 1e6 * (processor(server) - cpu) / SMALL_FILES;
    result[S_P50] = quantile(times, SMALL_FILES, 0.5);
    result[S_P99] = quantile(times, SMALL_FILES, 0.99);
    result[S_READS] = counts->reads;

    cpu = processor(server);
    first_reads(&way, 'm', MEDIUM_FILES, MEDIUM, 4 * KIB, times);
    result[M_CPU] = 1e6 * (processor(server) - cpu) / MEDIUM_FILES;
    result[M_P50] = quantile(times, MEDIUM_FILES, 0.5);
    result[M_P99] = quantile(times, MEDIUM_FILES, 0.99);
    result[M_READS] = counts->reads - result[S_READS];

    int fd = open_file(&way, "big", 0);
    uint64_t before = counts->reads;
    cpu = processor(server);
    double speeds[PASSES];
    for (int pass = 0; pass < PASSES; pass++) {
        speeds[pass] = sequential(fd, 128 * KIB, BIG);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    result[L_SPEED] = quantile(speeds, PASSES, 0.5);
    result[L_CPU] = 1e6 * (processor(server) - cpu) / (PASSES * BIG / MIB);
    result[L_READS] = (counts->reads - before) / (double)PASSES;
    result[STORED] = counts->stored;
    result[REFUSED] = counts->refused;
    close(fd);
    unmount_way(&way);
    end(server);
    munmap(way.counts, sizeof *way.counts);
}

static int bench_store(int rounds) {
    enum { WAYS = 5 };
    static const char *const names[WAYS] = {"never", "look-up", "10 µs later", "same thread", "read"};
    double *results[WAYS][STORE_VALUES], medians[WAYS][STORE_VALUES];
    fill();
    for (int w = 0; w < WAYS; w++)
        for (int v = 0; v < STORE_VALUES; v++) results[w][v] = calloc(rounds, sizeof(double));
    for (int round = 0; round < rounds; round++) {
        for (int turn = 0; turn < WAYS; turn++) {
            double one[STORE_VALUES];
            int w = (round + turn) % WAYS;
            measure_store(w, one);
            for (int v = 0; v < STORE_VALUES; v++) results[w][v][round] = one[v];
        }
        fprintf(stderr, "round %d of %d\n", round + 1, rounds);
    }
    printf("%-50s", "medians; bytes are pushed after");
    for (int w = 0; w < WAYS; w++) printf("%*s", 14 + (strstr(names[w], "µ") != NULL), names[w]);
    printf("\n");
    for (int v = 0; v < STORE_VALUES; v++) {
        printf("%-*s", 50 + (strstr(store_values[v], "µ") != NULL), store_values[v]);
        for (int w = 0; w < WAYS; w++) printf("%14.2f", medians[w][v] = quantile(results[w][v], rounds, 0.5));
        printf("\n");
    }
    printf("RESULT {\"store_lookup_small_file_ratio\": %.2f, \"store_soon_small_file_ratio\": %.2f, "
           "\"store_same_thread_small_file_ratio\": %.2f, \"store_soon_small_file_cpu_ratio\": %.2f, "
           "\"store_read_medium_file_ratio\": %.2f, \"store_read_medium_file_cpu_ratio\": %.2f, \"store_read_seq_ratio\": %.2f, "
           "\"store_read_seq_cpu_ratio\": %.2f}\n",
        medians[NEVER][S_P50] / medians[AFTER_LOOKUP][S_P50], medians[NEVER][S_P50] / medians[SOON_AFTER_LOOKUP][S_P50],
        medians[NEVER][S_P50] / medians[AFTER_LOOKUP_BY_WORKER][S_P50],
        medians[NEVER][S_CPU] / medians[SOON_AFTER_LOOKUP][S_CPU], medians[NEVER][M_P50] / medians[AFTER_READ][M_P50],
        medians[NEVER][M_CPU] / medians[AFTER_READ][M_CPU], medians[AFTER_READ][L_SPEED] / medians[NEVER][L_SPEED],
        medians[NEVER][L_CPU] / medians[AFTER_READ][L_CPU]);
    return 0;
}

static int bench_uring(int rounds) {
    struct way ways[2];
    pid_t servers[2];
    double *results[2][MEASURES], ratio[MEASURES];
    static const char *const names[NEXT_WAYS] = {"read/write", "io_uring", "buffers kept", "back to r/w"};
    fill();
    for (int w = 0; w < 2; w++) {
        ways[w] = (struct way){.ring = w};
        servers[w] = mount_way(&ways[w], false);
        set_read_ahead(&ways[w]);
        for (int m = 0; m < MEASURES; m++) results[w][m] = calloc(rounds, sizeof(double));
    }
    for (int round = 0; round < rounds; round++) {
        for (int turn = 0; turn < 2; turn++) {
            double one[MEASURES];
            int w = (round + turn) % 2;
            measure(&ways[w], servers[w], one);
            for (int m = 0; m < MEASURES; m++) results[w][m][round] = one[m];
        }
        fprintf(stderr, "round %d of %d\n", round + 1, rounds);
    }
    for (int w = 0; w < 2; w++) {
        end(servers[w]);
        unmount_way(&ways[w]);
    }
    printf("%-50s%12s%12s%26s\n", "medians", names[0], names[1], "io_uring is better by ×");
    for (int m = 0; m < MEASURES; m++) {
        double device = quantile(results[0][m], rounds, 0.5), ring = quantile(results[1][m], rounds, 0.5);
        ratio[m] = measures[m].higher_is_better ? ring / device : device / ring;
        /* printf counts the two bytes of µ as two. */
        int width = 50 + (strstr(measures[m].name, "µ") != NULL);
        printf("%-*s%12.2f%12.2f%26.2f\n", width, measures[m].name, device, ring, ratio[m]);
    }

    struct deaths deaths[NEXT_WAYS] = {0};
    for (int i = 0; i < NEXT_WAYS; i++) {
        fprintf(stderr, "deaths: %s\n", names[i]);
        one_death(&deaths[i], i > 0, i == 2, i == 3);
        if (i < 3) many_deaths(&deaths[i], i > 0, i == 2);
    }
    printf("\n%-64s", "a server is killed, the next one goes on");
    for (int i = 0; i < NEXT_WAYS; i++) printf("%14s", names[i]);
    printf("\n");
#define LINE(what, field) print_deaths(what, "%14d", deaths, offsetof(struct deaths, field))
    LINE("reads that waited when it died", waited);
    LINE("  answered rightly under the next one", answered);
    LINE("  answered only when further reads had come", after_fresh);
    LINE("  failed", failed);
    LINE("  without an answer until the connection is aborted", hung);
    LINE("new reads under the next one", fresh);
    LINE("  without an answer", fresh_hung);
    printf("%d deaths under %d readers: %-*s", DEATHS, READERS, 64 - (int)sizeof "20 deaths under 8 readers:", "reads");
    for (int i = 0; i < 3; i++) printf("%14lu", deaths[i].reads);
    printf("\n");
    LINE("  readers with an error", load_failed);
    printf("%-64s", "    which");
    for (int i = 0; i < 3; i++) printf("%14s", deaths[i].load_error ? strerrorname_np(deaths[i].load_error) : "");
    printf("\n");
    LINE("  readers with wrong bytes", load_wrong);
    LINE("  readers that wait for ever", load_hung);

    bool survives[3];
    for (int i = 0; i < 3; i++)
        survives[i] = deaths[i].answered == deaths[i].waited && !deaths[i].fresh_hung && !deaths[i].load_failed
            && !deaths[i].load_wrong && !deaths[i].load_hung;
    printf("RESULT {\"uring_small_read_ratio\": %.2f, \"uring_small_read_cpu_ratio\": %.2f, \"uring_parallel_ratio\": %.2f, "
           "\"uring_seq_ratio\": %.2f, \"uring_seq_cpu_ratio\": %.2f, \"uring_small_file_ratio\": %.2f, \"device_survives_server_death\": %s, "
           "\"survives_server_death\": %s, \"survives_server_death_with_buffers\": %s}\n",
        ratio[SMALL_P50], ratio[SMALL_CPU], ratio[PARALLEL], ratio[BUFFERED], ratio[BUFFERED_CPU], ratio[FILES_P50],
        survives[0] ? "true" : "false", survives[1] ? "true" : "false", survives[2] ? "true" : "false");
    return 0;
}

/* ---- what is put back, whatever happens ---- */

static bool set_parameter(char value) {
    int fd = open(PARAMETER, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, &value, 1) == 1;
    if (fd >= 0) close(fd);
    return done;
}

static pid_t worker;

/* Forced, so that nothing waits any more for a server that was killed. */
static void unmount_all(void) {
    for (int i = 0; i < MOUNTS; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%d", directory, i);
        umount2(path, MNT_FORCE | MNT_DETACH);
        rmdir(path);
    }
}

static void stop(int signal) {
    (void)signal;
    kill(worker, SIGKILL);
    unmount_all();
}

/* Also those that may be plugged in some day: requests go to rings only when each of these has its queue. */
static int possible_cpus(void) {
    FILE *file = fopen("/sys/devices/system/cpu/possible", "r");
    int first, last;
    int n = file ? fscanf(file, "%d-%d", &first, &last) : 0;
    if (n < 1) errx(1, "cannot read the processors that are possible");
    fclose(file);
    if (n == 1) last = first;
    if (last >= MAX_CPUS) errx(1, "more than %d processors", MAX_CPUS);
    return last + 1;
}

int main(int argc, char **argv) {
    bool uring = argc == 3 && !strcmp(argv[1], "uring");
    int rounds = argc == 3 ? atoi(argv[2]) : 0;
    char before = 'N';
    if (rounds < 1 || (!uring && strcmp(argv[1], "store"))) errx(2, "usage: fuseuring uring|store ROUNDS");
    int fd = open(PARAMETER, O_RDONLY | O_CLOEXEC);
    if (uring && (fd < 0 || read(fd, &before, 1) != 1))
        err(1, "this kernel has no FUSE over io_uring (Linux 6.14, CONFIG_FUSE_IO_URING): %s", PARAMETER);
    close(fd);
    cpus = possible_cpus();
    if (!mkdtemp(directory)) err(1, "mkdtemp");
    if (uring && !set_parameter('Y')) err(1, "write %s", PARAMETER);
    worker = fork();
    if (!worker) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(uring ? bench_uring(rounds) : bench_store(rounds));
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    signal(SIGHUP, stop);
    int status = 1;
    while (worker > 0 && waitpid(worker, &status, 0) < 0 && errno == EINTR) {}
    if (uring && !set_parameter(before)) warn("write %s", PARAMETER);
    unmount_all();
    rmdir(directory);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

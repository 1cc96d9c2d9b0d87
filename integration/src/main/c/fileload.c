/*
 * What programs do to files, timed: the load of `integration/bench fs`. One call runs one workload on one root and prints
 * one JSON object in one line; times are seconds, and microseconds where operations are timed one by one.
 *
 *   fileload list ROOT                    the regular files below ROOT, sorted, one a line: SIZE, tab, path relative to ROOT
 *   fileload run ROOT LIST WORKLOAD       LIST: a file with the lines that `list` printed; WORKLOAD:
 *       walk        reads every directory, lstat of every entry
 *       open        opens and closes every file
 *       missing     stat of 10,000 names that do not exist, in the directories of the files
 *       readall     reads every file
 *       seq         reads the largest file in pieces of 1 MiB
 *       rand        10,000 reads of 4 KiB in the largest file, always the same ones
 *       mmap        maps the largest file and touches every page
 *       small       opens, reads and closes every file that is larger than 4 KiB, up to 64 KiB
 *       drop        drops the page cache of every file, and nothing else
 *       scatter     reads all files, the largest in leaps, so that a server's read-ahead finds no order in it
 *   fileload run ROOT LIST reads N        N reads of 4 KiB of the largest file that is open once, none from the page cache
 *   fileload run ROOT LIST reopens N      N times `small`'s three calls, none of the reads from the page cache
 *   fileload exec ROOT COMMAND…           runs a command with ROOT as its root directory, to its end
 *
 * Nothing but mmap reads the last 64 MiB of the largest file: so a server that fetches pieces can be held in the state in
 * which it has all that is asked for and still not the whole file.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024L
#define MIB (1024L * KIB)
#define HELD_BACK (64 * MIB)
#define RANDOM_READS 10000
#define MISSING_NAMES 10000

struct file {
    char *path;
    off_t size;
};

static struct file *files;
static size_t file_count;
static size_t largest;
static char *buffer;
/* Microseconds of each operation. */
static double *times;
static size_t time_count;
static uint64_t operations, bytes;
static volatile unsigned char sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void took(double since)
{
    if ((time_count & (time_count - 1)) == 0) {
        times = realloc(times, (time_count ? 2 * time_count : 1) * sizeof *times);
        if (!times)
            err(1, "realloc");
    }
    times[time_count++] = (now() - since) * 1e6;
}

/* The same numbers in every run. */
static uint64_t next_random(void)
{
    static uint64_t state = 20260101;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void add_file(const char *path, off_t size)
{
    if ((file_count & (file_count - 1)) == 0) {
        files = realloc(files, (file_count ? 2 * file_count : 1) * sizeof *files);
        if (!files)
            err(1, "realloc");
    }
    files[file_count].path = strdup(path);
    files[file_count].size = size;
    if (size > files[largest].size)
        largest = file_count;
    file_count++;
}

/* Visits a directory and all below; keeps what it finds if asked to. */
static void walk(int parent, const char *name, const char *path, int keep)
{
    char below[PATH_MAX];
    struct dirent *entry;
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        err(1, "%s", path);
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
            err(1, "%s/%s", path, entry->d_name);
        operations++;
        snprintf(below, sizeof below, "%s%s%s", path, *path ? "/" : "", entry->d_name);
        if (S_ISDIR(st.st_mode))
            walk(fd, entry->d_name, below, keep);
        else if (keep && S_ISREG(st.st_mode))
            add_file(below, st.st_size);
    }
    closedir(dir);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static int by_value(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

static void read_list(const char *list)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    FILE *in = fopen(list, "r");
    if (!in)
        err(1, "%s", list);
    while ((n = getline(&line, &room, in)) > 0) {
        char *path;
        long long size = strtoll(line, &path, 10);
        line[n - 1] = 0;
        add_file(path + 1, size);
    }
    if (!file_count)
        errx(1, "%s names no file", list);
    free(line);
    fclose(in);
}

static int open_file(size_t i)
{
    int fd = open(files[i].path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        err(1, "%s", files[i].path);
    return fd;
}

static off_t readable(size_t i)
{
    return i == largest && files[i].size > HELD_BACK ? files[i].size - HELD_BACK : files[i].size;
}

static void read_at(int fd, size_t i, size_t length, off_t offset)
{
    ssize_t n = pread(fd, buffer, length, offset);
    if (n < 0)
        err(1, "cannot read %s", files[i].path);
    if (n == 0)
        errx(1, "%s ends at %lld and should have %lld bytes", files[i].path, (long long)offset, (long long)files[i].size);
    bytes += n;
}

static void read_file(size_t i, size_t piece)
{
    int fd = open_file(i);
    off_t end = readable(i);
    for (off_t at = 0; at < end; at += piece) {
        off_t left = end - at;
        read_at(fd, i, left < (off_t)piece ? (size_t)left : piece, at);
    }
    close(fd);
    operations++;
}

static int is_small(size_t i)
{
    return files[i].size > 4 * KIB && files[i].size <= 64 * KIB;
}

static void open_read_close(size_t i)
{
    double start = now();
    int fd = open_file(i);
    read_at(fd, i, 64 * KIB, 0);
    close(fd);
    took(start);
    operations++;
}

static void drop(size_t i)
{
    int fd = open_file(i);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void missing(void)
{
    struct stat st;
    char path[PATH_MAX];
    for (size_t i = 0; i < MISSING_NAMES; i++) {
        const char *in = files[i * 7919 % file_count].path;
        const char *slash = strrchr(in, '/');
        snprintf(path, sizeof path, "%.*s/absent%zu.cpython-313-x86_64-linux-gnu.so", slash ? (int)(slash - in) : 1,
                 slash ? in : ".", i);
        double start = now();
        if (!lstat(path, &st) || errno != ENOENT)
            err(1, "%s should not exist", path);
        took(start);
        operations++;
    }
}

static void random_reads(void)
{
    int fd = open_file(largest);
    uint64_t pages = readable(largest) / (4 * KIB);
    for (size_t i = 0; i < RANDOM_READS; i++) {
        double start = now();
        read_at(fd, largest, 4 * KIB, next_random() % pages * 4 * KIB);
        took(start);
        operations++;
    }
    close(fd);
}

static void touch_pages(void)
{
    int fd = open_file(largest);
    off_t size = files[largest].size;
    unsigned char *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        err(1, "cannot map %s", files[largest].path);
    for (off_t at = 0; at < size; at += 4 * KIB)
        sink ^= map[at];
    bytes = size;
    operations = 1;
    munmap(map, size);
    close(fd);
}

static void scatter(void)
{
    int fd = open_file(largest);
    off_t blocks = (readable(largest) + MIB - 1) / MIB;
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    for (off_t phase = 0; phase < 16; phase++)
        for (off_t block = phase; block < blocks; block += 16) {
            off_t left = readable(largest) - block * MIB;
            read_at(fd, largest, left < MIB ? left : MIB, block * MIB);
        }
    close(fd);
    for (size_t i = 0; i < file_count; i++)
        if (i != largest)
            read_file(i, 128 * KIB);
}

static void steady_reads(uint64_t count)
{
    int fd = open_file(largest);
    uint64_t pages = readable(largest) / (4 * KIB);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    for (uint64_t i = 0; i < count; i++) {
        /* A step that meets every page before it meets one again. */
        off_t page = i * 7919 % pages;
        if (i % 4096 == 0)
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        double start = now();
        read_at(fd, largest, 4 * KIB, page * 4 * KIB);
        took(start);
        operations++;
    }
    close(fd);
}

static void reopens(uint64_t count)
{
    size_t i = 0;
    for (size_t k = 0; k < file_count; k++)
        if (is_small(k))
            drop(k);
    while (operations < count) {
        if (is_small(i)) {
            open_read_close(i);
            drop(i);
        } else if (i + 1 == file_count && !operations)
            errx(1, "the list has no small file");
        i = (i + 1) % file_count;
    }
}

static void report(const char *workload, double seconds)
{
    printf("{\"workload\": \"%s\", \"operations\": %llu, \"bytes\": %llu, \"seconds\": %.9f", workload,
           (unsigned long long)operations, (unsigned long long)bytes, seconds);
    if (time_count) {
        qsort(times, time_count, sizeof *times, by_value);
        printf(", \"p50_us\": %.3f, \"p99_us\": %.3f", times[time_count / 2], times[time_count * 99 / 100]);
    }
    printf("}\n");
}

static void execute(const char *root, char **command)
{
    int status;
    double start = now();
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (!pid) {
        if (chroot(root) || chdir("/"))
            err(127, "%s", root);
        execvp(command[0], command);
        err(127, "%s", command[0]);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        errx(1, "%s ended with status %d", command[0], status);
    operations = 1;
    report("exec", now() - start);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && !strcmp(argv[1], "exec")) {
        execute(argv[2], argv + 3);
        return 0;
    }
    if (argc < 3 || chdir(argv[2]))
        err(1, "usage: fileload list|run|exec ROOT …; %s", argc < 3 ? "no root" : argv[2]);
    if (!strcmp(argv[1], "list")) {
        walk(AT_FDCWD, ".", "", 1);
        qsort(files, file_count, sizeof *files, by_path);
        for (size_t i = 0; i < file_count; i++)
            printf("%lld\t%s\n", (long long)files[i].size, files[i].path);
        return 0;
    }
    if (strcmp(argv[1], "run") || argc < 5)
        errx(1, "usage: fileload run ROOT LIST WORKLOAD [N]");
    read_list(argv[3]);
    const char *workload = argv[4];
    uint64_t count = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    if (posix_memalign((void **)&buffer, 4 * KIB, MIB))
        err(1, "posix_memalign");
    memset(buffer, 0, MIB);

    double start = now();
    if (!strcmp(workload, "walk"))
        walk(AT_FDCWD, ".", "", 0);
    else if (!strcmp(workload, "open"))
        for (size_t i = 0; i < file_count; i++, operations++) {
            double since = now();
            close(open_file(i));
            took(since);
        }
    else if (!strcmp(workload, "missing"))
        missing();
    else if (!strcmp(workload, "readall"))
        for (size_t i = 0; i < file_count; i++)
            read_file(i, 128 * KIB);
    else if (!strcmp(workload, "seq"))
        read_file(largest, MIB);
    else if (!strcmp(workload, "rand"))
        random_reads();
    else if (!strcmp(workload, "mmap"))
        touch_pages();
    else if (!strcmp(workload, "small")) {
        for (size_t i = 0; i < file_count; i++)
            if (is_small(i))
                open_read_close(i);
    } else if (!strcmp(workload, "drop"))
        for (size_t i = 0; i < file_count; i++, operations++)
            drop(i);
    else if (!strcmp(workload, "scatter"))
        scatter();
    else if (!strcmp(workload, "reads"))
        steady_reads(count);
    else if (!strcmp(workload, "reopens"))
        reopens(count);
    else
        errx(1, "there is no workload '%s'", workload);
    report(workload, now() - start);
    return 0;
}

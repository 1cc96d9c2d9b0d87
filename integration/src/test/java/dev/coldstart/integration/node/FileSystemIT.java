package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestMethodOrder;

/**
 * Public file system tests (fio with verification, stress-ng) on a container's root, and what users do to an image's files
 * there, checked against the directory that the image was made of. First with every byte in the registry, then with every
 * byte on disk. xfstests and fsx are not to be had as Debian packages.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class FileSystemIT {
    private static final Duration LIMIT = Duration.ofMinutes(2);

    /** Large ones of many spans, middling ones of parts of a span, and small ones that lie in the tree. */
    private static final String MAKE_FILES = """
            set -e
            mkdir -p /original/middling /original/small /original/moved/below /original/tmp
            head -c 40M /dev/urandom >/original/large
            head -c 6M /dev/urandom >/original/mapped
            for i in $(seq 20); do head -c $((i * 50000)) /dev/urandom >/original/middling/$i; done
            for i in $(seq 500); do head -c $((i * 7)) /dev/urandom >/original/small/$i; done
            head -c 3M /dev/urandom >/original/moved/below/file
            """;

    private static final String MOUNT = """
            set -euo pipefail
            ctr snapshots --snapshotter coldstart prepare "$1" \\
                "$(ctr snapshots --snapshotter coldstart ls | awk '$NF == "Committed" { print $1 }')" >/dev/null
            mkdir "/mnt/$1"
            eval "$(ctr snapshots --snapshotter coldstart mounts "/mnt/$1" "$1")"
            """;

    private static final String FIO = """
            set -euo pipefail
            cd "/mnt/$1"
            run() {
                fio --output-format=terse --verify=crc32c --do_verify=1 --verify_fatal=1 --verify_state_save=0 --randseed=20260101 \\
                    --name="$@" >/tmp/fio.log 2>&1 || { cat /tmp/fio.log >&2; exit 1; }
            }
            # Writes in the middle of an image's file: it is copied up, and what is around them stays.
            run copy-up --filename=large --offset=16m --size=8m --rw=randwrite --bs=4k
            cmp -n 16777216 large /original/large
            cmp -i 25165824 large /original/large
            run mapped --filename=mapped --size=6m --rw=randwrite --bs=4k --ioengine=mmap
            run new-files --directory=tmp --nrfiles=8 --numjobs=2 --size=4m --rw=randwrite --bs=1k-64k --fsync=64
            run direct --directory=tmp --size=4m --rw=randrw --bs=4k --direct=1
            """;

    private static final String EDITS = """
            set -euo pipefail
            cd "/mnt/$1"
            truncate -s 70001 middling/2
            cmp -n 70001 middling/2 /original/middling/2
            [ "$(stat -c %s middling/2)" = 70001 ]
            truncate -s 300000 middling/3
            cmp -n 150000 middling/3 /original/middling/3
            cmp -n 150000 -i 150000:0 middling/3 /dev/zero
            printf more >>middling/4
            cmp middling/4 <(cat /original/middling/4; printf more)
            printf more >>small/100
            cmp small/100 <(cat /original/small/100; printf more)
            : >middling/5
            [ ! -s middling/5 ]
            # A descriptor that was open before the copy reads what it was opened on, at its offset.
            exec 3<middling/6
            head -c 1000 <&3 | cmp - <(head -c 1000 /original/middling/6)
            chmod 600 middling/6
            chown 7:7 middling/7
            touch -d @1000000000 middling/8
            setfattr -n user.note -v kept middling/9
            ln middling/10 hard
            mv moved renamed
            cmp renamed/below/file /original/moved/below/file
            rm middling/11
            rm -r small/1 && mkdir small/1
            [ "$(stat -c %a middling/6)/$(stat -c %u middling/7)/$(stat -c %Y middling/8)" = 600/7/1000000000 ]
            [ "$(getfattr --only-values -n user.note middling/9)" = kept ]
            for i in 6 7 8 9 10 $(seq 12 20); do cmp "middling/$i" "/original/middling/$i"; done
            cmp hard /original/middling/10
            for i in $(seq 2 99) $(seq 101 500); do cmp "small/$i" "/original/small/$i"; done
            [ ! -e middling/11 ] && [ ! -e moved ]
            """;

    private static final String STRESS = """
            set -euo pipefail
            stress-ng --verify --temp-path "/mnt/$1/tmp" --sequential 1 --timeout 1s --seed 20260101 \\
                --with chmod,dentry,fallocate,fpunch,hdd,link,rename,seek,symlink,utime,xattr \\
                --hdd-bytes 8m --fallocate-bytes 8m >/tmp/stress.log 2>&1 || { cat /tmp/stress.log >&2; exit 1; }
            """;

    private @Nullable Registry registry;
    private @Nullable Node node;

    @BeforeAll
    void startNode() {
        Root.assume();
        Repository repository = Repository.here();
        registry = Registry.start(repository, "bench-f-reg");
        node = Node.forFiles(repository, "bench-f", registry, List.of());
        node.startSnapshotter();
        node.startContainerd();
        node.host().script(LIMIT, MAKE_FILES);
        String image = registry.push(node.host(), "files", "tar -C /original -cf - .");
        node.coldstart("index", image);
        node.host()
                .script(
                        LIMIT,
                        "ctr images pull --local=false --platform linux/amd64 --snapshotter coldstart \"$1\" </dev/null 2>&1",
                        image);
    }

    @AfterAll
    void destroy() {
        if (node != null) {
            node.close();
        }
        if (registry != null) {
            registry.close();
        }
    }

    @Test
    @Order(1)
    void holdsWithEveryByteInTheRegistry() {
        assertThat(objects()).as("objects on disk before").isZero();
        check("remote");
    }

    @Test
    @Order(2)
    void holdsWithEveryByteOnDisk() {
        TestHost host = node().host();
        host.script(
                LIMIT, MOUNT + "cat \"/mnt/$1\"/* \"/mnt/$1\"/*/* \"/mnt/$1\"/*/*/* >/dev/null 2>&1 || true\n", "all");
        assertThat(objects()).as("objects on disk").isEqualTo(23);
        check("local");
    }

    private void check(String snapshot) {
        TestHost host = node().host();
        host.script(LIMIT, MOUNT, snapshot);
        host.script(LIMIT, FIO, snapshot);
        host.script(LIMIT, EDITS, snapshot);
        host.script(LIMIT, STRESS, snapshot);
        host.script(LIMIT, "umount \"/mnt/$1\"", snapshot);
    }

    /** Files of more than 4 KiB, as a whole. */
    private int objects() {
        return Integer.parseInt(node().host().ask("sh", "-c", "find /var/lib/coldstart/objects -type f | wc -l"));
    }

    private Node node() {
        if (node == null) {
            throw new IllegalStateException("there is no node");
        }
        return node;
    }
}

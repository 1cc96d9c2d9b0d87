package dev.coldstart.snapshotter.rootfs;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.LoopDevice;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.tree.Attributes;
import dev.coldstart.snapshotter.tree.Content;
import dev.coldstart.snapshotter.tree.Tree;
import dev.coldstart.snapshotter.tree.TreeSpool;
import dev.coldstart.snapshotter.tree.TreeWriter;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TreeFileTest {
    @TempDir
    Path directory;

    /** A way to mount a file. */
    private interface Way {
        void mount(Path file, Path target) throws Exception;
    }

    @BeforeEach
    void root() throws Exception {
        assumeTrue(Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "mounting needs root");
    }

    @Test
    void aTreeIsMountedFromItsFile() throws Exception {
        readThrough(TreeFile::mount);
    }

    @Test
    void aTreeIsMountedFromALoopDeviceThatVanishesWithTheMount() throws Exception {
        assumeTrue(Files.exists(Path.of("/dev/loop-control")), "there are no loop devices here");
        String source = readThrough(TreeFile::mountByDevice);
        assertThat(source).startsWith("/dev/loop");
        // Whoever watches devices may have it open for another moment.
        for (int left = 500; left > 0 && !LoopDevice.backingFile(source).equals(source); left--) {
            Thread.sleep(10);
        }
        assertThat(LoopDevice.backingFile(source)).isEqualTo(source);
    }

    @Test
    void whereTheKernelWantsABlockDeviceItGetsOne() throws Exception {
        assumeTrue(Files.exists(Path.of("/dev/loop-control")), "there are no loop devices here");
        // No kernel mounts EROFS from a file in a tmpfs: it answers as those below 6.12 do for any file.
        Mount.mount("none", directory.toString(), "tmpfs", 0, null);
        try {
            assertThat(readThrough(TreeFile::mount)).startsWith("/dev/loop");
        } finally {
            Mount.umount(directory.toString(), 0);
        }
    }

    @Test
    void devicesTakenAtOnceAreDifferentOnes() throws Exception {
        assumeTrue(Files.exists(Path.of("/dev/loop-control")), "there are no loop devices here");
        Path tree = tree();
        List<LoopDevice> devices = new ArrayList<>();
        try (var threads = Executors.newFixedThreadPool(8)) {
            Callable<LoopDevice> attach = () -> LoopDevice.attach(tree);
            for (Future<LoopDevice> device :
                    threads.invokeAll(List.of(attach, attach, attach, attach, attach, attach))) {
                devices.add(device.get());
            }
            assertThat(devices.stream().map(LoopDevice::path)).doesNotHaveDuplicates();
            for (LoopDevice device : devices) {
                assertThat(LoopDevice.backingFile(device.path())).isEqualTo(tree.toString());
            }
        } finally {
            devices.forEach(LoopDevice::close);
        }
    }

    /** Returns the mount's source. */
    private String readThrough(Way way) throws Exception {
        Path tree = tree();
        Path target = Files.createDirectory(directory.resolve("target"));
        way.mount(tree, target);
        try {
            assertThat(target.resolve("file")).hasContent("bytes of a file");
            MountTable.Entry mount = MountTable.read().stream()
                    .filter(entry -> entry.mountPoint().equals(target.toString()))
                    .findFirst()
                    .orElseThrow();
            assertThat(mount.image()).isEqualTo(tree.toString());
            return mount.source();
        } finally {
            Mount.umount(target.toString(), 0);
        }
    }

    private Path tree() throws Exception {
        Path file = directory.resolve("tree.erofs");
        Files.deleteIfExists(file);
        byte[] bytes = "bytes of a file".getBytes(StandardCharsets.UTF_8);
        try (TreeSpool spool = new TreeSpool(directory);
                FileChannel image = FileChannel.open(
                        file, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            Tree tree = new Tree();
            spool.write(bytes, 0, bytes.length);
            tree.put("file", new Attributes(0644, 0, 0, 0, 0, List.of()), new Content.Bytes(0, bytes.length));
            TreeWriter.write(tree, spool, new byte[16], image);
        }
        return file;
    }
}

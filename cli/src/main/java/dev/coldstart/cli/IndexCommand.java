package dev.coldstart.cli;

import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.IndexProgress;
import dev.coldstart.proto.v1.IndexRequest;
import dev.coldstart.proto.v1.IndexedLayer;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code coldstart index}. */
@Command(
        name = "index",
        description = {
            "Read the layers of an image once and keep their index and tree on this node, not their bytes.",
            "Containers of the image then start without the pull."
        })
final class IndexCommand implements Callable<Integer> {
    private static final long REDRAW_NANOS = 100_000_000;

    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Mixin
    private Main.NodeSocket node = new Main.NodeSocket();

    @Parameters(paramLabel = "IMAGE", description = "HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]")
    private String image = "";

    @Override
    public Integer call() {
        boolean terminal = stderrIsTerminal();
        PrintWriter err = spec.commandLine().getErr();
        Map<String, IndexProgress> layers;
        try (Connection connection = node.connect()) {
            layers = index(connection, image, terminal ? err : null);
        }
        Table table = new Table("LAYER", "BLOB", "UNPACKED", "ENTRIES", "INDEX", "TREE", "");
        layers.forEach((digest, last) -> {
            IndexedLayer done = last.getDone();
            table.row(
                    Names.shorten(digest),
                    last.getBytesTotal() > 0 ? Sizes.of(last.getBytesTotal()) : "",
                    Sizes.of(done.getUncompressedBytes()),
                    Integer.toUnsignedString(done.getEntries()),
                    Sizes.of(done.getIndexBytes()),
                    Sizes.of(done.getTreeBytes()),
                    done.getKnown() ? "known" : "new");
        });
        spec.commandLine().getOut().print(table.render(""));
        spec.commandLine().getOut().flush();
        return 0;
    }

    /**
     * Has a node index an image.
     *
     * @param progress where to draw, or null
     * @return by layer digest, in the image's order as reported, the last message, which has {@code done} set
     */
    static Map<String, IndexProgress> index(Connection connection, String image, @Nullable PrintWriter progress) {
        Map<String, IndexProgress> layers = new LinkedHashMap<>();
        long drawn = System.nanoTime() - REDRAW_NANOS;
        try {
            Iterator<IndexProgress> messages = AdminGrpc.newBlockingStub(connection.channel())
                    .index(IndexRequest.newBuilder().setImage(image).build());
            while (messages.hasNext()) {
                IndexProgress message = messages.next();
                IndexProgress before = layers.get(message.getLayer());
                if (before == null || !before.hasDone()) {
                    layers.put(message.getLayer(), message);
                }
                if (progress != null && System.nanoTime() - drawn >= REDRAW_NANOS) {
                    drawn = System.nanoTime();
                    progress.print("\r\033[K" + line(layers));
                    progress.flush();
                }
            }
        } catch (StatusRuntimeException e) {
            throw connection.failed(e);
        } finally {
            if (progress != null) {
                progress.print("\r\033[K");
                progress.flush();
            }
        }
        for (Map.Entry<String, IndexProgress> layer : layers.entrySet()) {
            if (!layer.getValue().hasDone()) {
                throw new CliException("Layer " + layer.getKey() + " of " + image + " was not indexed to its end.");
            }
        }
        return layers;
    }

    private static boolean stderrIsTerminal() {
        try {
            Path target = Files.readSymbolicLink(Path.of("/proc/self/fd/2"));
            return target.startsWith("/dev/pts") || target.toString().startsWith("/dev/tty");
        } catch (IOException e) {
            return false;
        }
    }

    private static String line(Map<String, IndexProgress> layers) {
        long read = 0;
        long total = 0;
        long done = 0;
        for (IndexProgress p : layers.values()) {
            read += p.hasDone() ? p.getBytesTotal() : p.getBytesRead();
            total += p.getBytesTotal();
            done += p.hasDone() ? 1 : 0;
        }
        return done + " of " + layers.size() + " layers, " + Sizes.of(read) + " of " + Sizes.of(total);
    }
}

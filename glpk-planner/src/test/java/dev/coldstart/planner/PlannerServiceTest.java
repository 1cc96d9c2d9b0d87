package dev.coldstart.planner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.planner.lp.GlpkSolver;
import dev.coldstart.planner.plan.Planner;
import dev.coldstart.planner.plan.SolverPool;
import dev.coldstart.proto.v1.Action;
import dev.coldstart.proto.v1.Function;
import dev.coldstart.proto.v1.Group;
import dev.coldstart.proto.v1.Holding;
import dev.coldstart.proto.v1.NodeInventory;
import dev.coldstart.proto.v1.PlanRequest;
import dev.coldstart.proto.v1.PlanResponse;
import dev.coldstart.proto.v1.PlannerGrpc;
import dev.coldstart.proto.v1.Rates;
import dev.coldstart.proto.v1.Tier;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlannerServiceTest {
    private static final long GIB = 1L << 30;

    @TempDir
    Path directory;

    private final SolverPool solvers = new SolverPool(2, () -> new GlpkSolver("test"));
    private final Planner planner = new Planner(solvers, Duration.ofSeconds(2));
    private final MultiThreadIoEventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private Path socket;
    private PlannerServer server;
    private ManagedChannel channel;

    @BeforeEach
    void start() throws IOException {
        socket = directory.resolve("planner.sock");
        server = PlannerServer.start(socket, planner);
        channel = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(socket))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .usePlaintext()
                .overrideAuthority("localhost")
                .build();
    }

    @AfterEach
    void stop() {
        channel.shutdownNow();
        loop.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
        server.close();
        solvers.close();
    }

    private static PlanRequest.Builder request() {
        return PlanRequest.newBuilder()
                .addNodes(NodeInventory.newBuilder()
                        .setNode("a")
                        .setDiskBytes(4 * GIB)
                        .addHoldings(Holding.newBuilder()
                                .setGroup("layer:base")
                                .setBytesTotal(GIB)
                                .setBytesPresent(GIB)
                                .setTier(Tier.TIER_DISK)))
                .addNodes(NodeInventory.newBuilder().setNode("b").setDiskBytes(4 * GIB))
                .addGroups(Group.newBuilder().setName("layer:base").setBytes(GIB))
                .addGroups(Group.newBuilder().setName("snapshot:s").setBytes(2 * GIB))
                .addFunctions(Function.newBuilder()
                        .setName("f")
                        .setColdStartsPerHour(6)
                        .setFixedSeconds(1)
                        .addGroups("layer:base")
                        .addGroups("snapshot:s"))
                .setRates(Rates.newBuilder().setRam(8e9).setDisk(2e9).setRegistry(1e8))
                .setMoveCostSecondsPerGib(1)
                .setHorizonSeconds(1800);
    }

    private PlanResponse plan(PlanRequest request) {
        return PlannerGrpc.newBlockingStub(channel).plan(request);
    }

    @Test
    void stagesTheSnapshotWhereTheLayerIsAlready() throws IOException {
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
                .isEqualTo("rw-------");
        PlanResponse plan = plan(request().build());
        assertThat(plan.getMethod()).isEqualTo("pattern-lp");
        // 3 starts of 1 s and 3 GiB from disk, 2 GiB moved.
        double expected = 3 * (1 + 3.0 * GIB / 2e9) + 2;
        assertThat(plan.getObjective()).isBetween(expected - 1e-6, expected + 1e-6);
        assertThat(plan.getBound()).isBetween(expected * 0.999, expected + 1e-6);
        assertThat(plan.getObjectiveUnplanned()).isGreaterThan(60);
        assertThat(plan.getNodes(0).getItemsList())
                .extracting(i -> i.getAction() + " " + i.getGroup() + " " + i.getBytes())
                .containsExactly(Action.FETCH + " snapshot:s " + 2 * GIB, Action.KEEP + " layer:base " + GIB);
        assertThat(plan.getNodes(0).getServesMap()).containsEntry("f", 3.0);
        assertThat(plan.getNodes(1).getItemsList()).isEmpty();
    }

    @Test
    void namesWhatIsWrongWithARequest() {
        refused(r -> r.clearNodes(), "nodes is empty");
        refused(r -> r.clearRates(), "rates is missing");
        refused(r -> r.getRatesBuilder().setDisk(Double.NaN), "rates.disk is NaN");
        refused(r -> r.getRatesBuilder().setRegistry(0), "rates.registry is 0.0");
        refused(r -> r.setMoveCostSecondsPerGib(-1), "move_cost_seconds_per_gib is -1.0");
        refused(r -> r.setHorizonSeconds(Double.POSITIVE_INFINITY), "horizon_seconds is Infinity");
        refused(r -> r.getGroupsBuilder(0).setBytes(-5), "bytes of group layer:base is 18446744073709551611");
        refused(r -> r.addGroups(Group.newBuilder().setName("layer:base")), "group layer:base is given twice");
        refused(r -> r.addGroups(Group.newBuilder()), "groups[2] has no name");
        refused(r -> r.getFunctionsBuilder(0).addGroups("nope"), "function f reads the group nope");
        refused(r -> r.getFunctionsBuilder(0).addGroups("snapshot:s"), "names the group snapshot:s twice");
        refused(r -> r.getFunctionsBuilder(0).setColdStartsPerHour(Double.NaN), "cold_starts_per_hour of function f");
        refused(r -> r.getFunctionsBuilder(0).setFixedSeconds(-1), "fixed_seconds of function f");
        refused(r -> r.addFunctions(r.getFunctions(0)), "function f is given twice");
        refused(r -> r.addNodes(r.getNodes(0)), "node a is given twice");
        refused(r -> r.getNodesBuilder(1).setDiskBytes(-1), "disk_bytes of node b");
        refused(
                r -> r.getNodesBuilder(0).getHoldingsBuilder(0).setBytesPresent(2 * GIB),
                "bytes_present of layer:base on node a is more than its bytes_total");
        refused(
                r -> r.getNodesBuilder(0).getHoldingsBuilder(0).setTier(Tier.TIER_UNKNOWN),
                "the tier of layer:base on node a is not given");
        refused(
                r -> r.getNodesBuilder(0).addHoldings(r.getNodes(0).getHoldings(0)),
                "layer:base on node a is held twice");
    }

    private void refused(Consumer<PlanRequest.Builder> spoil, String sentence) {
        PlanRequest.Builder request = request();
        spoil.accept(request);
        assertThatThrownBy(() -> plan(request.build())).isInstanceOfSatisfying(StatusRuntimeException.class, e -> {
            assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
            assertThat(e.getStatus().getDescription()).contains(sentence);
        });
    }

    @Test
    void plansForNothingAndForNodesThatAreOverfull() {
        PlanResponse nothing = plan(request().clearFunctions().build());
        assertThat(nothing.getObjective()).isZero();
        PlanRequest.Builder overfull = request();
        overfull.getNodesBuilder(0).setDiskBytes(GIB / 2);
        PlanResponse plan = plan(overfull.build());
        assertThat(plan.getNodes(0).getItems(0).getAction()).isEqualTo(Action.DROP);
    }

    @Test
    void refusesASecondServerButReplacesWhatADeadOneLeft() throws IOException {
        assertThatThrownBy(() -> PlannerServer.start(socket, planner))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("already listens on " + socket);
        server.close();
        assertThat(socket).doesNotExist();
        Files.createFile(socket);
        server = PlannerServer.start(socket, planner);
        assertThat(plan(request().build()).getNodesCount()).isEqualTo(2);
    }
}

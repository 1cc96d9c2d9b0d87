package dev.coldstart.cli;

import dev.coldstart.proto.v1.NodeAgentGrpc;
import dev.coldstart.proto.v1.PinRequest;
import dev.coldstart.proto.v1.Tier;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code coldstart pin}. */
@Command(name = "pin", description = "Keep layers from eviction on this node, also over a restart.")
final class PinCommand implements Callable<Integer> {
    /** Where a layer can be wanted. */
    enum Where {
        DISK,
        RAM,
        NOWHERE
    }

    @Mixin
    private Main.NodeSocket node = new Main.NodeSocket();

    @Option(
            names = "--tier",
            paramLabel = "TIER",
            defaultValue = "disk",
            description =
                    "disk; ram, as far as it has room; or nowhere, which lets them be evicted again. Default: disk")
    private Where tier = Where.DISK;

    @Parameters(arity = "1..*", paramLabel = "GROUP", description = "layer:sha256:…, as a plan names it")
    private List<String> groups = List.of();

    @Override
    public Integer call() {
        Tier wanted = switch (tier) {
            case DISK -> Tier.TIER_DISK;
            case RAM -> Tier.TIER_RAM;
            case NOWHERE -> Tier.TIER_UNKNOWN;
        };
        try (Connection connection = node.connect()) {
            for (String group : groups) {
                connection.call(
                        NodeAgentGrpc.newBlockingStub(connection.channel()),
                        30,
                        stub -> stub.pin(PinRequest.newBuilder()
                                .setGroup(group)
                                .setTier(wanted)
                                .build()));
            }
        }
        return 0;
    }
}

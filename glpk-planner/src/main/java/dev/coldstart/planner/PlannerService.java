package dev.coldstart.planner;

import dev.coldstart.planner.plan.Instance;
import dev.coldstart.planner.plan.Plan;
import dev.coldstart.planner.plan.Planner;
import dev.coldstart.proto.v1.Action;
import dev.coldstart.proto.v1.NodePlan;
import dev.coldstart.proto.v1.PlanItem;
import dev.coldstart.proto.v1.PlanRequest;
import dev.coldstart.proto.v1.PlanResponse;
import dev.coldstart.proto.v1.PlannerGrpc;
import dev.coldstart.proto.v1.Tier;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;

/** {@code coldstart.v1.Planner}. */
final class PlannerService extends PlannerGrpc.PlannerImplBase {
    private final Planner planner;

    PlannerService(Planner planner) {
        this.planner = planner;
    }

    @Override
    public void plan(PlanRequest request, StreamObserver<PlanResponse> observer) {
        long start = System.nanoTime();
        Plan plan;
        try {
            Instance instance = RequestReader.read(request);
            plan = planner.plan(instance);
        } catch (IllegalArgumentException e) {
            observer.onError(
                    Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asRuntimeException());
            return;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            observer.onError(Status.UNAVAILABLE
                    .withDescription("The planner is shutting down.")
                    .asRuntimeException());
            return;
        }
        PlanResponse.Builder response = PlanResponse.newBuilder()
                .setObjective(plan.objective())
                .setBound(plan.bound())
                .setObjectiveUnplanned(plan.unplanned())
                .setMethod(plan.method())
                .setNote(plan.note())
                .setSolveSeconds((System.nanoTime() - start) / 1e9);
        for (Plan.NodeContents node : plan.nodes()) {
            response.addNodes(nodePlan(node));
        }
        observer.onNext(response.build());
        observer.onCompleted();
    }

    private static NodePlan nodePlan(Plan.NodeContents node) {
        NodePlan.Builder builder = NodePlan.newBuilder().setNode(node.node()).putAllServes(node.serves());
        for (Plan.Item item : node.items()) {
            builder.addItems(PlanItem.newBuilder()
                    .setGroup(item.group())
                    .setTier(
                            switch (item.where()) {
                                case RAM -> Tier.TIER_RAM;
                                case DISK -> Tier.TIER_DISK;
                            })
                    .setAction(
                            switch (item.act()) {
                                case KEEP -> Action.KEEP;
                                case FETCH -> Action.FETCH;
                                case DROP -> Action.DROP;
                            })
                    .setBytes(item.bytes())
                    .setReason(item.reason()));
        }
        return builder.build();
    }
}

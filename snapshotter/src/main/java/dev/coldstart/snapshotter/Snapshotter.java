package dev.coldstart.snapshotter;

import dev.coldstart.linux.ServiceManager;
import dev.coldstart.snapshotter.content.Containerd;
import dev.coldstart.snapshotter.content.LayerResolver;
import dev.coldstart.snapshotter.content.Referrers;
import dev.coldstart.snapshotter.fetch.IdleMemory;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerObjects;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fuse.RemoteTier;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.Pins;
import dev.coldstart.snapshotter.object.RamTier;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.CriKeychain;
import dev.coldstart.snapshotter.registry.RegistryArtifacts;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.RegistryHosts;
import dev.coldstart.snapshotter.registry.Trust;
import dev.coldstart.snapshotter.rehearsal.Rehearsal;
import dev.coldstart.snapshotter.rootfs.Directories;
import dev.coldstart.snapshotter.rootfs.ImpliedDirectories;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import dev.coldstart.snapshotter.rootfs.KernelSupport;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import dev.coldstart.snapshotter.rootfs.LayerRetention;
import dev.coldstart.snapshotter.rootfs.MappedLayers;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import dev.coldstart.snapshotter.rootfs.RootFileSystems;
import dev.coldstart.snapshotter.rootfs.Staging;
import dev.coldstart.snapshotter.rootfs.TreeMounts;
import dev.coldstart.snapshotter.service.AdminService;
import dev.coldstart.snapshotter.service.Doctor;
import dev.coldstart.snapshotter.service.ImageDoctor;
import dev.coldstart.snapshotter.service.ImageServiceProxy;
import dev.coldstart.snapshotter.service.NodeAgentService;
import dev.coldstart.snapshotter.service.SnapshotsService;
import dev.coldstart.snapshotter.service.StoredSnapshots;
import dev.coldstart.snapshotter.service.UnixServer;
import dev.coldstart.snapshotter.sharing.BundleServer;
import dev.coldstart.snapshotter.sharing.ClusterKey;
import dev.coldstart.snapshotter.sharing.Peers;
import dev.coldstart.snapshotter.sharing.PublishedIndexes;
import dev.coldstart.snapshotter.sharing.PublishedPrefetches;
import dev.coldstart.snapshotter.toc.EstargzOrigin;
import dev.coldstart.snapshotter.toc.SociOrigin;
import dev.coldstart.snapshotter.toc.ZstdChunkedOrigin;
import dev.coldstart.snapshotter.trace.PrefetchBlobs;
import dev.coldstart.snapshotter.trace.PrefetchSource;
import dev.coldstart.snapshotter.trace.StartUps;
import dev.coldstart.snapshotter.trace.TraceFiles;
import dev.coldstart.snapshotter.trace.Traces;
import dev.coldstart.snapshotter.wholetree.WholeTreeMounts;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/** The parts of the program put together. Everything is served when the constructor's work is done. */
public final class Snapshotter implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Snapshotter.class.getName());
    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final Path state;
    /** Whether an image is being read, or was. */
    private BooleanSupplier used = () -> true;

    private Snapshotter(Path state) {
        this.state = state;
    }

    /**
     * Starts to serve.
     *
     * @param credentials docker's config.json
     * @param manager told when everything is served
     * @throws IOException with one clear sentence
     */
    public static Snapshotter start(
            Configuration configuration, String version, Path credentials, ServiceManager manager) throws IOException {
        Snapshotter snapshotter = new Snapshotter(configuration.state());
        try {
            snapshotter.serve(configuration, version, credentials, manager);
            return snapshotter;
        } catch (IOException | RuntimeException e) {
            snapshotter.close();
            throw e;
        }
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    private void serve(Configuration configuration, String version, Path credentials, ServiceManager manager)
            throws IOException {
        Path root = configuration.root();
        createPrivate(root);
        createPrivate(state);
        Files.createDirectories(root.resolve("meta"));
        lock(root.resolve("meta").resolve("lock"));
        Path scratch = state.resolve("probe");
        Directories.requireOverlayUpper(root.resolve("probe"));
        String whole = wholeTreesBecause(configuration.serve(), scratch);

        ObjectStore objects = own(ObjectStore.open(root, configuration.store()));
        MetadataStore metadata = own(MetadataStore.open(root.resolve("meta").resolve("snapshots.log")));
        Directories directories = new Directories(root.resolve("fs"), state.resolve("l"));
        directories.recover(metadata.catalog());
        Containerd containerd = own(new Containerd(configuration.containerd()));
        CriKeychain kubelets = configuration.imageService() == null ? null : new CriKeychain();
        RegistryClient registry = own(new RegistryClient(
                new RegistryHosts(configuration.hostsDirectory(), host -> {
                    Configuration.Registry named = configuration.registries().get(host);
                    return named == null ? null : named.plainHttp();
                }),
                Trust.with(configuration.registries().values().stream()
                        .map(Configuration.Registry::caFile)
                        .filter(Objects::nonNull)
                        .toList()),
                Credentials.of(kubelets, configuration.pullSecrets(), credentials),
                // So that a read lives to see another try.
                configuration.ioTimeout().dividedBy(3)));
        RegistrySource source = own(new RegistrySource(
                registry,
                layer -> metadata.catalog().sources(layer),
                root.resolve("spool"),
                configuration.store().freeMin()));
        LayerResolver resolver = new LayerResolver(containerd, () -> hosts(configuration, metadata));

        KnownLayers known =
                new KnownLayers(own(LayerOrdinals.open(root.resolve("meta").resolve("layers"))));
        SpanFetcher fetcher = own(new SpanFetcher(
                source, layer -> host(metadata.catalog().sources(layer)), objects, configuration.ioTimeout()));
        own(IdleMemory.watch(known, fetcher));
        LayerMounts trees = whole == null
                ? new TreeMounts(state.resolve("t"), root.resolve("trees"))
                : new WholeTreeMounts(state.resolve("t"), root.resolve("trees"), known, objects, fetcher);
        ImpliedDirectories implied = new ImpliedDirectories(root.resolve("implied"), metadata.catalog());
        MappedLayers mapped = new MappedLayers(state.resolve("m"), metadata.catalog());
        boolean outlived = whole == null && manager.keepsDescriptors();
        if (!outlived) {
            parts.push(() -> trees.retain(Set.of()));
            parts.push(mapped::unmountAll);
        }
        Path keyFile = configuration.sharing().keyFile();
        ClusterKey key = keyFile == null ? null : ClusterKey.read(keyFile);
        Path indexes = Files.createDirectories(root.resolve("index"));
        TraceFiles traces = new TraceFiles(indexes);
        PublishedPrefetches prefetches =
                key == null ? null : new PublishedPrefetches(key, new RegistryArtifacts(registry), traces);
        PublishedIndexes published = key == null || prefetches == null
                ? null
                : new PublishedIndexes(
                        key,
                        new RegistryArtifacts(registry),
                        traces,
                        prefetches,
                        new PrefetchBlobs(known, objects, traces),
                        configuration.sharing().publish());
        List<IndexOrigin> origins = origins(configuration.sharing(), key, registry, source, traces, published);
        RemoteLayers layers =
                new RemoteLayers(metadata, containerd, resolver, source, objects, known, trees, indexes, origins);
        layers.recover();
        Pins pins = Pins.open(root.resolve("meta").resolve("pins"));
        LayerRetention retention = new LayerRetention(metadata, known, trees, layers, indexes, pins);
        objects.watch(retention, new LayerObjects(known, fetcher));
        RamTier ram = RamTier.open(state.resolve("ram"), configuration.store().ramMax(), retention);
        Staging staging = new Staging(pins, retention, objects, ram);
        staging.start();
        List<Path> tiers = List.of();
        if (whole == null) {
            RemoteTier remote = own(RemoteTier.start(known, objects, fetcher, state.resolve("remote"), manager));
            tiers = tiers(configuration, ram, objects, remote);
        }
        StartUps startUps = own(new StartUps(
                known,
                fetcher,
                objects,
                traces,
                prefetches == null ? PrefetchSource.NONE : prefetches,
                StartUps.Settings.of(
                        configuration.fetch().replay(),
                        configuration.fetch().background(),
                        configuration.sharing().tellsOthers()),
                published == null ? layersOfStart -> {} : published::learned));
        RootFileSystems rootfs = new RootFileSystems(directories, trees, known, implied, mapped, tiers, startUps);

        StoredSnapshots stored = new StoredSnapshots(root.resolve("snapshots"));
        String serving = whole == null
                ? "EROFS trees and objects in overlayfs data-only layers; what is missing comes over FUSE at "
                        + tiers.getLast()
                : "whole layers over FUSE (jnr-fuse), because " + whole;
        own(UnixServer.start(
                state.resolve("snapshotter.sock"),
                List.of(new SnapshotsService(
                        metadata, directories, implied, mapped, rootfs, layers, retention, objects, known))));
        String listen = configuration.sharing().listen();
        if (key != null && listen != null) {
            own(BundleServer.start(address(listen), key, layers, traces));
        }
        // After the snapshots service, which a pull that comes by here asks.
        if (kubelets != null && configuration.imageService() != null) {
            own(ImageServiceProxy.start(configuration.imageService(), configuration.containerd(), kubelets));
        }
        // Last: who finds it takes the rest for served.
        own(UnixServer.start(
                state.resolve("node.sock"),
                List.of(
                        new AdminService(
                                version,
                                serving,
                                registry,
                                layers,
                                stored,
                                new Doctor(
                                        serving,
                                        outlived,
                                        configuration,
                                        metadata,
                                        trees,
                                        objects,
                                        containerd,
                                        registry),
                                new ImageDoctor(registry, containerd, metadata, layers, trees, known, objects)),
                        new NodeAgentService(
                                configuration.nodeName(),
                                known,
                                objects,
                                ram == null ? 0 : ram.bytes(),
                                staging,
                                stored))));
        used = () -> fetcher.fetchedBytes() > 0 || layers.reading();
        manager.ready();
    }

    /** Has this process's code compiled while there is nothing else to do: see {@link Rehearsal}. Does not wait. */
    void rehearse() {
        var _ = own(Rehearsal.begin(state.resolve("rehearsal"), used));
    }

    /** Where indexes may come from: first what the image itself names, at last what only the registry vouches for. */
    private List<IndexOrigin> origins(
            Configuration.Sharing sharing,
            @Nullable ClusterKey key,
            RegistryClient registry,
            RegistrySource source,
            Traces traces,
            @Nullable PublishedIndexes published) {
        List<IndexOrigin> origins = new ArrayList<>(
                List.of(new EstargzOrigin(source), new ZstdChunkedOrigin(source), SociOrigin.pinned(registry, source)));
        if (key != null && !sharing.peers().isEmpty()) {
            origins.add(own(new Peers(key, sharing.peers(), traces)));
        }
        if (published != null) {
            origins.add(published);
        }
        origins.add(SociOrigin.referring(registry, source, new Referrers(new RegistryArtifacts(registry))));
        return origins;
    }

    /** Why layers are to be served whole over FUSE; null if they are not. Fails if the way that is wanted cannot be gone. */
    private static @Nullable String wholeTreesBecause(Configuration.Serve serve, Path scratch) throws IOException {
        String why = "the configuration says so";
        if (serve != Configuration.Serve.FUSE) {
            try {
                KernelSupport.requireForTrees(scratch);
                return null;
            } catch (IOException e) {
                if (serve == Configuration.Serve.TREES) {
                    throw e;
                }
                why = e.getMessage();
                LOG.log(System.Logger.Level.WARNING, "layers are served whole over FUSE, because {0}", why);
            }
        }
        return why;
    }

    /** The nearest first. */
    private static List<Path> tiers(
            Configuration configuration, @Nullable RamTier ram, ObjectStore objects, RemoteTier remote) {
        List<Path> tiers = new ArrayList<>();
        if (ram != null) {
            tiers.add(ram.directory());
        }
        if (configuration.store().verify() == StoreSettings.Verify.ONCE) {
            tiers.add(objects.directory());
        }
        tiers.add(remote.mountPoint());
        return tiers;
    }

    /** Requests for blobs that are looked for in the same places first share their connections. */
    private static String host(Collection<LayerSource> sources) {
        return sources.stream().map(LayerSource::host).findFirst().orElse("");
    }

    private static Set<String> hosts(Configuration configuration, MetadataStore metadata) {
        Set<String> hosts = new HashSet<>(configuration.registries().keySet());
        for (Digest layer : metadata.catalog().layersWithSources()) {
            Collection<LayerSource> sources = metadata.catalog().sources(layer);
            sources.forEach(source -> hosts.add(source.host()));
        }
        return hosts;
    }

    private static InetSocketAddress address(String hostAndPort) {
        int colon = hostAndPort.lastIndexOf(':');
        return new InetSocketAddress(
                hostAndPort.substring(0, colon), Integer.parseInt(hostAndPort.substring(colon + 1)));
    }

    private static void createPrivate(Path directory) throws IOException {
        if (!Files.isDirectory(directory)) {
            Files.createDirectories(directory);
            Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx------"));
        }
    }

    private void lock(Path file) throws IOException {
        FileChannel channel = own(FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE));
        FileLock lock = channel.tryLock();
        if (lock == null) {
            throw new IOException("another coldstart-snapshotter uses " + file.getParent() + "; stop it first");
        }
    }

    /** Stops serving, then unmounts what nobody uses. Containers that run go on with what they have. */
    @Override
    public void close() {
        while (!parts.isEmpty()) {
            AutoCloseable part = parts.pop();
            try {
                part.close();
            } catch (Exception e) {
                LOG.log(System.Logger.Level.WARNING, "while stopping: {0}", e.getMessage());
            }
        }
    }
}

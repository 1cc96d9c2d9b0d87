package dev.coldstart.shim.pool;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * What a JVM of the pool is asked for: to be the shim of a container.
 *
 * @param caller pid of the process that containerd started and that waits for the answer; its working directory is the
 *     bundle, its stdin has the options (see {@link Caller#options}), and its environment is the shim's
 * @param namespace containerd's
 * @param id the container's
 * @param address containerd's gRPC socket
 * @param socket where to serve: a path, or a directory with a slash at its end, for a container that is no part of a pod
 */
public record Request(int caller, String namespace, String id, String address, String socket) {
    /** Where to serve; in a directory the name is the script's: a digest, so that it does not grow with names. */
    public Path path() {
        if (!socket.endsWith("/")) {
            return Path.of(socket);
        }
        String name = "coldstart/" + address + "/" + namespace + "/" + id;
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(name.getBytes(StandardCharsets.UTF_8));
            return Path.of(socket, HexFormat.of().formatHex(digest));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JVM has SHA-256", e);
        }
    }
}

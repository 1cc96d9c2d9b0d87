package dev.coldstart.shim.stdio;

/**
 * What a request says about stdio.
 *
 * @param stdin empty, or the path of a fifo
 * @param stdout empty, the path of a fifo, or a URI (fifo, file, binary)
 * @param stderr as stdout; ignored with a terminal
 */
public record Streams(String stdin, String stdout, String stderr, boolean terminal) {
    boolean none() {
        return stdin.isEmpty() && stdout.isEmpty() && stderr.isEmpty();
    }
}

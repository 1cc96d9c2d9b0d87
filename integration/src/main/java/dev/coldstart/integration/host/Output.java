package dev.coldstart.integration.host;

/**
 * What a command left.
 *
 * @param status exit status
 * @param out standard output, without the last line's end
 * @param err standard error, without the last line's end
 */
public record Output(int status, String out, String err) {
    public boolean succeeded() {
        return status == 0;
    }
}

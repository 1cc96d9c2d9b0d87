package dev.coldstart.restore;

/**
 * How a run of runc ended.
 *
 * @param status exit status; 128 + the signal's number if it was killed
 * @param error the last message of level {@code error} this run wrote to its log, or empty
 */
public record RuncResult(int status, String error) {
    public boolean succeeded() {
        return status == 0;
    }
}

package dev.coldstart.integration.files;

/** What is done with the files; see {@code fileload.c}. */
enum Workload {
    WALK("walk + lstat", "walk"),
    OPEN("open + close", "open"),
    MISSING("failed lookup", "missing"),
    READALL("read all", "readall"),
    SEQ("sequential", "seq"),
    RAND("random 4 KiB", "rand"),
    MMAP("mmap", "mmap"),
    IMPORT("import torch", "import"),
    SMALL("small files", "small");

    private final String title;
    private final String command;

    Workload(String title, String command) {
        this.title = title;
        this.command = command;
    }

    String title() {
        return title;
    }

    /** The word that the measuring script knows. */
    String command() {
        return command;
    }
}

package dev.coldstart.integration.pull;

/** One image over one link. */
record Cell(Size size, Link link) {
    String title() {
        return size.title() + " at " + link.title();
    }
}

package dev.coldstart.integration.pull;

/** How fast the link between registry and node is. */
enum Link {
    MBIT_100("100mbit", "100 Mb/s"),
    GBIT_1("1gbit", "1 Gb/s"),
    /** More than two cores move through TLS. */
    GBIT_10("10gbit", "10 Gb/s");

    private final String rate;
    private final String title;

    Link(String rate, String title) {
        this.rate = rate;
        this.title = title;
    }

    /** As tc writes it. */
    String rate() {
        return rate;
    }

    String title() {
        return title;
    }
}

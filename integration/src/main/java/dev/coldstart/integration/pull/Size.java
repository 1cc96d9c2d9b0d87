package dev.coldstart.integration.pull;

import java.util.List;

/** An image of {@code integration/image}; sizes are those of its files, unpacked. */
enum Size {
    SMALL("small", "0.16 GB", 2),
    MEDIUM("model-server", "1.13 GB", 2),
    LARGE("large", "4.15 GB", 1);

    private final String image;
    private final String title;
    private final int runs;

    Size(String image, String title, int runs) {
        this.image = image;
        this.title = title;
        this.runs = runs;
    }

    String image() {
        return image;
    }

    String title() {
        return title;
    }

    /** How often each way is measured, if nobody says it. */
    int runs() {
        return runs;
    }

    /** Over which links, if nobody says it: together with {@link #runs} what takes about a quarter of an hour on two cores. */
    List<Link> links() {
        return switch (this) {
            case SMALL -> List.of(Link.MBIT_100, Link.GBIT_1, Link.GBIT_10);
            case MEDIUM -> List.of(Link.GBIT_1, Link.GBIT_10);
            case LARGE -> List.of(Link.GBIT_10);
        };
    }
}

package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.layer.Digest;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The name of an image.
 *
 * @param host HOST[:PORT]
 * @param repository such as {@code library/python}
 * @param reference a tag, or a digest
 */
public record ImageReference(String host, String repository, String reference) {
    private static final Pattern FORM = Pattern.compile("([A-Za-z0-9.-]+(?::\\d{1,5})?|\\[[0-9a-fA-F:]+](?::\\d{1,5})?)"
            + "/([a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?");

    /**
     * Reads {@code HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]}; a digest counts more than a tag, and no tag means latest.
     *
     * @throws IllegalArgumentException with a sentence for the user
     */
    public static ImageReference parse(String image) {
        Matcher matcher = FORM.matcher(image);
        if (image.length() > 1024 || !matcher.matches()) {
            throw new IllegalArgumentException(
                    "\"" + image + "\" is not an image name of the form HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]");
        }
        String host = matcher.group(1);
        if (!host.contains(".") && !host.contains(":") && !host.equals("localhost")) {
            throw new IllegalArgumentException(
                    "\"" + image + "\" does not start with a registry's host, such as docker.io/" + image);
        }
        String reference =
                matcher.group(4) != null ? matcher.group(4) : matcher.group(3) != null ? matcher.group(3) : "latest";
        return new ImageReference(host, matcher.group(2), reference);
    }

    /** Whether the reference is a digest. */
    public boolean byDigest() {
        return reference.startsWith("sha256:");
    }

    /** The digest that the reference is. */
    public Digest digest() {
        return Digest.parse(reference);
    }

    @Override
    public String toString() {
        return host + "/" + repository + (byDigest() ? "@" : ":") + reference;
    }
}

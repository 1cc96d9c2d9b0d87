/** Test hosts, driven through {@code integration/testhost}: Debian roots in namespaces of their own. */
@NullMarked
package dev.coldstart.integration.host;

import org.jspecify.annotations.NullMarked;

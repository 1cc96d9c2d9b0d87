/** What runs in test hosts: a registry, and a node with its own containerd and coldstart's programs. */
@NullMarked
package dev.coldstart.integration.node;

import org.jspecify.annotations.NullMarked;

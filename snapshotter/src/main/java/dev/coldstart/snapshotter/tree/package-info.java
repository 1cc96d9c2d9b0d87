/**
 * Trees: EROFS images that hold a layer's names, attributes and small files, and for each file of substance an
 * overlayfs redirect to the object that has its bytes. A {@link dev.coldstart.snapshotter.tree.Tree} gathers entries in
 * memory, a {@link dev.coldstart.snapshotter.tree.TreeSpool} the bytes that go into the image, and {@link
 * dev.coldstart.snapshotter.tree.TreeWriter} lays both out.
 */
@NullMarked
package dev.coldstart.snapshotter.tree;

import org.jspecify.annotations.NullMarked;

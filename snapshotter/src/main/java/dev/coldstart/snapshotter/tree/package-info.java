/**
 * Trees: EROFS images that hold a layer's names, attributes and small files, and for each file of substance an
 * overlayfs redirect to the object that has its bytes. The on-disk format is the kernel's fs/erofs/erofs_fs.h.
 */
@NullMarked
package dev.coldstart.snapshotter.tree;

import org.jspecify.annotations.NullMarked;

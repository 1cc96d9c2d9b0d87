/**
 * The Linux kernel from Java: one class per facility, bound with the foreign-function API. The only package of
 * coldstart that touches native memory or native code; everything here throws {@link dev.coldstart.linux.LinuxException}
 * with the call and its errno.
 */
@NullMarked
package dev.coldstart.linux;

import org.jspecify.annotations.NullMarked;

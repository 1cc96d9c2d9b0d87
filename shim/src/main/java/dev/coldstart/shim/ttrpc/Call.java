package dev.coldstart.shim.ttrpc;

import java.util.List;
import jdk.net.UnixDomainPrincipal;

/** What a handler may know of the call that it answers, besides what was sent. */
public interface Call {
    /** All values that the client sent under a key, in their order; keys have no upper case in ttrpc. */
    List<String> metadata(String key);

    /** Whose process the client is, as the kernel says. */
    UnixDomainPrincipal peer();
}

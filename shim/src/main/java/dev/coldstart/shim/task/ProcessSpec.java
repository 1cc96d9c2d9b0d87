package dev.coldstart.shim.task;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/** An OCI process as JSON, on its way from a request to the runtime. */
final class ProcessSpec {
    private ProcessSpec() {}

    /**
     * Writes the process into a file only root can read (it holds an environment), with the request's word on whether it
     * has a terminal.
     *
     * @throws IOException if the JSON is malformed or the file cannot be written
     */
    static void write(byte[] process, boolean terminal, Path file) throws IOException {
        Files.deleteIfExists(file);
        Files.createFile(file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        JsonFactory factory = new JsonFactory();
        try (JsonParser in = factory.createParser(ObjectReadContext.empty(), process);
                OutputStream bytes = Files.newOutputStream(file);
                JsonGenerator out = factory.createGenerator(ObjectWriteContext.empty(), bytes)) {
            if (in.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("the process is not a JSON object");
            }
            out.writeStartObject();
            while (in.nextToken() == JsonToken.PROPERTY_NAME) {
                String name = in.currentName();
                in.nextToken();
                if (name.equals("terminal")) {
                    in.skipChildren();
                } else {
                    out.writeName(name);
                    out.copyCurrentStructure(in);
                }
            }
            out.writeName("terminal");
            out.writeBoolean(terminal);
            out.writeEndObject();
        } catch (JacksonException e) {
            throw new IOException("the process is not valid JSON: " + e.getOriginalMessage(), e);
        }
    }
}

package dev.coldstart.shim.task;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonWriter;
import com.google.gson.stream.MalformedJsonException;
import java.io.EOFException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

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
        String text = new String(process, StandardCharsets.UTF_8);
        try (JsonReader in = new JsonReader(new StringReader(text));
                JsonWriter out = new JsonWriter(Files.newBufferedWriter(file))) {
            in.setStrictness(Strictness.STRICT);
            out.setStrictness(Strictness.STRICT);
            in.beginObject();
            out.beginObject();
            while (in.hasNext()) {
                String name = in.nextName();
                if (name.equals("terminal")) {
                    in.skipValue();
                } else {
                    out.name(name);
                    copy(in, out);
                }
            }
            in.endObject();
            out.name("terminal").value(terminal).endObject();
        } catch (MalformedJsonException | EOFException | IllegalStateException e) {
            throw new IOException("the process is not valid JSON: " + e.getMessage(), e);
        }
    }

    private static void copy(JsonReader in, JsonWriter out) throws IOException {
        switch (in.peek()) {
            case BEGIN_OBJECT -> {
                in.beginObject();
                out.beginObject();
                while (in.hasNext()) {
                    out.name(in.nextName());
                    copy(in, out);
                }
                in.endObject();
                out.endObject();
            }
            case BEGIN_ARRAY -> {
                in.beginArray();
                out.beginArray();
                while (in.hasNext()) {
                    copy(in, out);
                }
                in.endArray();
                out.endArray();
            }
            case STRING -> out.value(in.nextString());
            // As it is written.
            case NUMBER -> out.jsonValue(in.nextString());
            case BOOLEAN -> out.value(in.nextBoolean());
            case NULL -> {
                in.nextNull();
                out.nullValue();
            }
            case NAME, END_OBJECT, END_ARRAY, END_DOCUMENT -> throw new MalformedJsonException("a value is missing");
        }
    }
}

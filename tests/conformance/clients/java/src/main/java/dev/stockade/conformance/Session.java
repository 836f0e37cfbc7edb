package dev.stockade.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import dev.stockade.client.Stockade;
import dev.stockade.client.Tls;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Predicate;

/** What the steps share: channels to the services, the sandbox, and how a failed call is told. */
final class Session implements AutoCloseable {
  /** One step of the table. */
  record Row(String name, String operation, Given with) {}

  private static final long WAIT_MS = 20_000;

  private final Map<String, ManagedChannel> channels = new HashMap<>();
  private final List<Row> steps = new ArrayList<>();
  String sandbox = "";

  static Session open(String path) throws IOException {
    var file = JsonParser.parseString(Files.readString(Path.of(path))).getAsJsonObject();
    var session = new Session();
    for (var target : file.getAsJsonObject("targets").entrySet()) {
      session.channels.put(target.getKey(), connect(target.getValue().getAsString(), file.get("tls")));
    }
    for (var step : file.getAsJsonArray("steps")) {
      var row = step.getAsJsonObject();
      var with = new Given(row.getAsJsonObject("with"));
      session.steps.add(new Row(row.get("name").getAsString(), row.get("do").getAsString(), with));
    }
    return session;
  }

  static ManagedChannel connect(String target, JsonElement tls) throws IOException {
    if (tls == null || tls.isJsonNull()) {
      return Stockade.connect(target);
    }
    var files = tls.getAsJsonObject();
    return Stockade.connect(target, new Tls(file(files, "ca"), file(files, "cert"), file(files, "key"), null));
  }

  ManagedChannel channel(String service) {
    return channels.get(service);
  }

  List<Row> steps() {
    return steps;
  }

  @Override
  public void close() {
    channels.values().forEach(ManagedChannel::shutdownNow);
  }

  /** Code, and what google.rpc's details say: reason, domain, metadata, and the fields that break a rule. */
  static Map<String, Object> failure(Throwable error) {
    var told = new HashMap<String, Object>();
    told.put("code", Status.fromThrowable(error).getCode().value());
    Stockade.errorInfo(error)
        .ifPresent(
            info -> {
              told.put("reason", info.getReason());
              told.put("domain", info.getDomain());
              told.put("metadata", info.getMetadataMap());
            });
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(BadRequest.class)) {
        told.put("fields", fields(detail));
      }
    }
    return told;
  }

  /** Reads again and again until the reading is good or time is up; the last reading. */
  static <T> T polled(Callable<T> read, Predicate<T> good) throws Exception {
    for (var end = System.currentTimeMillis() + WAIT_MS; ; Thread.sleep(100)) {
      var value = read.call();
      if (good.test(value) || System.currentTimeMillis() > end) {
        return value;
      }
    }
  }

  private static List<String> fields(com.google.protobuf.Any detail) {
    try {
      var violations = detail.unpack(BadRequest.class).getFieldViolationsList();
      return violations.stream().map(BadRequest.FieldViolation::getField).toList();
    } catch (InvalidProtocolBufferException broken) {
      throw new IllegalArgumentException(broken);
    }
  }

  private static File file(JsonObject files, String name) {
    return files.has(name) ? new File(files.get(name).getAsString()) : null;
  }
}

package dev.stockade.conformance;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import dev.stockade.embeddingcache.v1.BatchGetRequest;
import dev.stockade.embeddingcache.v1.BatchPutRequest;
import dev.stockade.embeddingcache.v1.Dtype;
import dev.stockade.embeddingcache.v1.EmbeddingCacheServiceGrpc;
import dev.stockade.embeddingcache.v1.Rows;
import dev.stockade.embeddingcache.v1.StreamGetRequest;
import dev.stockade.embeddingcache.v1.StreamPutRequest;
import dev.stockade.embeddingcache.v1.VectorFormat;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** Steps on the embedding cache: golden keys, vectors bit for bit, and a stream of more than a message holds. */
final class CacheSteps {
  private static final String SPEC = "stockade.embeddingcache.key/1";

  private CacheSteps() {}

  private static EmbeddingCacheServiceGrpc.EmbeddingCacheServiceBlockingV2Stub service(Session session) {
    return EmbeddingCacheServiceGrpc.newBlockingV2Stub(session.channel("cache"));
  }

  /** Computes every golden key. */
  static Map<String, Object> keys(Session session, Given given) throws Exception {
    var file = JsonParser.parseString(Files.readString(Path.of(given.text("path")))).getAsJsonObject();
    var golden = file.getAsJsonArray("keys");
    var wrong = new ArrayList<String>();
    for (var one : golden) {
      var row = new Given(one.getAsJsonObject());
      if (!key(row.json().getAsJsonObject("model"), row.text("text")).equals(row.text("key"))) {
        wrong.add(row.text("case"));
      }
    }
    return Map.of("computed", golden.size(), "wrong", wrong);
  }

  /** A key as docs/embedding-keys.md says. */
  private static String key(JsonObject json, String text) throws Exception {
    var model = new Given(json);
    var fields =
        List.of(
            bytes(SPEC),
            bytes(model.text("provider")),
            bytes(model.text("model")),
            bytes(model.text("revision")),
            bytes(Long.toString(model.number("dimensions"))),
            bytes(model.has("dtype") ? model.text("dtype") : "f32"),
            bytes(model.text("role")),
            bytes(model.has("normalise") && json.get("normalise").getAsBoolean() ? "1" : "0"),
            parameters(json),
            bytes(text));
    var digest = MessageDigest.getInstance("SHA-256");
    fields.forEach(field -> digest.update(framed(field)));
    return HexFormat.of().formatHex(digest.digest());
  }

  private static byte[] parameters(JsonObject model) {
    if (!model.has("parameters")) {
      return new byte[0];
    }
    var joined = new ByteArrayOutputStream();
    model.getAsJsonObject("parameters").entrySet().stream()
        .map(entry -> new byte[][] {bytes(entry.getKey()), bytes(entry.getValue().getAsString())})
        .sorted((one, other) -> Arrays.compareUnsigned(one[0], other[0]))
        .flatMap(Arrays::stream)
        .forEach(word -> joined.writeBytes(framed(word)));
    return joined.toByteArray();
  }

  private static byte[] framed(byte[] field) {
    return ByteBuffer.allocate(Long.BYTES + field.length).putLong(field.length).put(field).array();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** Puts rows, one of them bad, and asks for them and for one that is not there. */
  static Map<String, Object> vectors(Session session, Given given) throws Exception {
    var format = format(given);
    var rows = Rows.newBuilder().setFormat(format).setVectors(given.bytes("rows"));
    var layer = given.text("layer");
    var put =
        service(session)
            .batchPut(BatchPutRequest.newBuilder().setLayer(layer).setKeys(given.bytes("keys")).setRows(rows).build());
    var got =
        service(session)
            .batchGet(
                BatchGetRequest.newBuilder().setLayer(layer).setKeys(given.bytes("ask")).setFormat(format).build());
    return Map.of(
        "stored", hex(put.getStored()),
        "faults", put.getErrorsList().stream().map(e -> List.of(e.getRow(), e.getFault().name())).toList(),
        "hits", hex(got.getHits()),
        "vectors", hex(got.getVectors()));
  }

  /** Streams a file of rows in and out again, in chunks, with one key more than there are rows. */
  static Map<String, Object> vectorStream(Session session, Given given) throws Exception {
    var data = ByteString.copyFrom(Files.readAllBytes(Path.of(given.text("source"))));
    var names = names(data.size() / ((int) given.number("dimensions") * 4) + 1);
    var stored = streamIn(session, given, names, data);
    var ask = StreamGetRequest.newBuilder().setLayer(given.text("layer")).setKeys(names).setFormat(format(given));
    var call = service(session).streamGet();
    call.write(ask.build());
    call.halfClose();
    var found = ByteString.EMPTY;
    int messages = 0, asked = 0, hits = 0;
    for (var reply = call.read(); reply != null; reply = call.read()) {
      messages++;
      asked += reply.getRowCount();
      hits += ones(reply.getHits());
      found = found.concat(reply.getVectors());
    }
    return Map.of(
        "stored", stored,
        "asked", asked,
        "found", hits,
        "chunks", messages > 1 ? "several" : "one",
        "bytes", found.size(),
        "sha256", ExecSteps.sha256(found.toByteArray()));
  }

  private static int streamIn(Session session, Given given, ByteString names, ByteString data) throws Exception {
    var call = service(session).streamPut();
    var size = (int) given.number("dimensions") * 4;
    var chunk = size * (int) given.number("chunk_rows");
    var stored = 0;
    for (var at = 0; at < data.size(); at += chunk) {
      var part = data.substring(at, Math.min(at + chunk, data.size()));
      var keys = names.substring(at / size * 32, (at + part.size()) / size * 32);
      var rows = Rows.newBuilder().setFormat(format(given)).setVectors(part);
      call.write(StreamPutRequest.newBuilder().setLayer(given.text("layer")).setKeys(keys).setRows(rows).build());
      stored += ones(call.read().getStored());
    }
    call.halfClose();
    return stored;
  }

  private static ByteString names(int rows) throws Exception {
    var joined = new ByteArrayOutputStream();
    for (var row = 0; row < rows; row++) {
      joined.writeBytes(MessageDigest.getInstance("SHA-256").digest(bytes("row " + row)));
    }
    return ByteString.copyFrom(joined.toByteArray());
  }

  private static VectorFormat format(Given given) {
    return VectorFormat.newBuilder()
        .setDimensions((int) given.number("dimensions"))
        .setDtype(Dtype.DTYPE_F32)
        .build();
  }

  private static int ones(ByteString bitmap) {
    var count = 0;
    for (var each : bitmap) {
      count += Integer.bitCount(each & 0xff);
    }
    return count;
  }

  private static String hex(ByteString bytes) {
    return HexFormat.of().formatHex(bytes.toByteArray());
  }
}

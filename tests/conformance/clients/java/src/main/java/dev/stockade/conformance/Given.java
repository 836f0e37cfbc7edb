package dev.stockade.conformance;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** A step's input; each operation reads its own part. */
record Given(JsonObject json) {
  boolean has(String name) {
    return json.has(name);
  }

  String text(String name) {
    return json.has(name) ? json.get(name).getAsString() : "";
  }

  long number(String name) {
    return json.has(name) ? json.get(name).getAsLong() : 0;
  }

  List<String> texts(String name) {
    var texts = new ArrayList<String>();
    if (json.has(name)) {
      json.getAsJsonArray(name).forEach(item -> texts.add(item.getAsString()));
    }
    return texts;
  }

  ByteString bytes(String name) {
    return ByteString.copyFrom(HexFormat.of().parseHex(text(name)));
  }
}

package dev.stockade.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Connects Java programs to Stockade: local sockets, TLS and mutual TLS, and the reason of an error. */
public final class Stockade {
  private static final int MAX_MESSAGE_BYTES = 16 << 20;

  private Stockade() {}

  /** Opens a channel to a local socket, {@code unix:/path}. No connection is made before the first call. */
  public static ManagedChannel connect(String target) {
    return Grpc.newChannelBuilder(target, InsecureChannelCredentials.create())
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .build();
  }

  /** Opens a channel to {@code host:port} over TLS, mutual where {@code security} holds a certificate. */
  public static ManagedChannel connect(String target, Tls security) throws IOException {
    var builder = Grpc.newChannelBuilder(target, security.credentials()).maxInboundMessageSize(MAX_MESSAGE_BYTES);
    return (security.serverName() == null ? builder : builder.overrideAuthority(security.serverName())).build();
  }

  /**
   * The target of a service of the stack on this machine, by its short name: sandbox, policy, cache or audit. Inside a
   * sandbox one socket leads to all of them as the agent; outside, the operator's own directory is used.
   */
  public static String local(String service) {
    var runDir = Path.of(environment("STOCKADE_STACK_RUN_DIR", "/run/stockade"));
    var inside = runDir.resolve("api.sock");
    if (Files.exists(inside)) {
      return "unix:" + inside;
    }
    var person = environment("SUDO_USER", System.getProperty("user.name"));
    return "unix:" + runDir.resolve("operators").resolve(person).resolve(service + ".sock");
  }

  /**
   * What a failed call says about its cause: its reason is a name of {@code stockade.errors.v1.Reason} without
   * {@code REASON_}.
   */
  public static Optional<ErrorInfo> errorInfo(Throwable error) {
    var status = StatusProto.fromThrowable(error);
    if (status == null) {
      return Optional.empty();
    }
    return status.getDetailsList().stream().filter(any -> any.is(ErrorInfo.class)).findFirst().map(Stockade::unpack);
  }

  private static ErrorInfo unpack(Any any) {
    try {
      return any.unpack(ErrorInfo.class);
    } catch (InvalidProtocolBufferException broken) {
      throw new IllegalArgumentException("the server sent a broken ErrorInfo", broken);
    }
  }

  private static String environment(String name, String otherwise) {
    var value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }
}

package dev.stockade.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;

/**
 * The PEM files of a secured connection.
 *
 * @param ca proves the server
 * @param cert proves the client, with {@code key}; both may be null
 * @param key in PKCS #8 form
 * @param serverName the name that the server's certificate is for, where it is not the target's; may be null
 */
public record Tls(File ca, File cert, File key, String serverName) {
  /** A connection that proves the server only. */
  public static Tls of(File ca) {
    return new Tls(ca, null, null, null);
  }

  /** A connection that proves both ends. */
  public static Tls mutual(File ca, File cert, File key) {
    return new Tls(ca, cert, key, null);
  }

  ChannelCredentials credentials() throws IOException {
    var builder = TlsChannelCredentials.newBuilder().trustManager(ca);
    return (cert == null ? builder : builder.keyManager(cert, key)).build();
  }
}

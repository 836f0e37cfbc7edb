package dev.stockade.conformance;

import com.google.protobuf.ByteString;
import dev.stockade.sandbox.v1.ArchiveSummary;
import dev.stockade.sandbox.v1.DownloadArchiveRequest;
import dev.stockade.sandbox.v1.FileInfo;
import dev.stockade.sandbox.v1.FileServiceGrpc;
import dev.stockade.sandbox.v1.ListFilesRequest;
import dev.stockade.sandbox.v1.MoveFileRequest;
import dev.stockade.sandbox.v1.ReadFileRequest;
import dev.stockade.sandbox.v1.RemoveFileRequest;
import dev.stockade.sandbox.v1.StatFileRequest;
import dev.stockade.sandbox.v1.UploadArchiveRequest;
import dev.stockade.sandbox.v1.UploadArchiveResponse;
import dev.stockade.sandbox.v1.UploadArchiveStart;
import dev.stockade.sandbox.v1.WriteFileRequest;
import dev.stockade.sandbox.v1.WriteFileStart;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** Steps on files and archives. */
final class FileSteps {
  private static final int CHUNK_BYTES = 256 * 1024;

  private FileSteps() {}

  private static FileServiceGrpc.FileServiceBlockingV2Stub service(Session session) {
    return FileServiceGrpc.newBlockingV2Stub(session.channel("sandbox"));
  }

  /** Writes a file, looks at it, reads a range, lists its directory by pages of one, moves and removes it. */
  static Map<String, Object> files(Session session, Given given) throws Exception {
    var path = given.text("path");
    var directory = Path.of(path).getParent().toString();
    var moved = path + ".moved";
    write(session, path, ByteString.copyFromUtf8(given.text("text")));
    var stat = StatFileRequest.newBuilder().setSandbox(session.sandbox).setPath(path).build();
    var info = service(session).statFile(stat).getInfo();
    var part = read(session, path, given.number("offset"), given.number("length"));
    var names = list(session, directory);
    var move = MoveFileRequest.newBuilder().setSandbox(session.sandbox).setSource(path).setDestination(moved);
    service(session).moveFile(move.build());
    service(session)
        .removeFile(RemoveFileRequest.newBuilder().setSandbox(session.sandbox).setPath(moved).build());
    return Map.of(
        "size", info.getSizeBytes(),
        "kind", info.getKind().name(),
        "range", part.toStringUtf8(),
        "names", names,
        "left", list(session, directory));
  }

  static Map<String, Object> readFile(Session session, Given given) throws Exception {
    return Map.of("text", read(session, given.text("path"), 0, 0).toStringUtf8());
  }

  /** Copies a local file in and out again. */
  static Map<String, Object> copy(Session session, Given given) throws Exception {
    var data = Files.readAllBytes(Path.of(given.text("source")));
    write(session, given.text("path"), ByteString.copyFrom(data));
    var back = read(session, given.text("path"), 0, 0).toByteArray();
    return Map.of("bytes", back.length, "sha256", ExecSteps.sha256(back));
  }

  /** Unpacks an archive, reads one of its files, and packs it again. */
  static Map<String, Object> archive(Session session, Given given) throws Exception {
    var path = given.text("path");
    var unpacked = unpack(session, path, Base64.getDecoder().decode(given.text("archive")));
    var member = read(session, path + "/" + given.text("member"), 0, 0);
    var request = DownloadArchiveRequest.newBuilder().setSandbox(session.sandbox).setPath(path).build();
    var parts = service(session).downloadArchive(request);
    var packed = ByteString.EMPTY;
    var summary = ArchiveSummary.getDefaultInstance();
    for (var part = parts.read(); part != null; part = parts.read()) {
      packed = packed.concat(part.getData());
      summary = part.getSummary();
    }
    return Map.of(
        "unpacked", unpacked.getUnpackedBytes(),
        "text", member.toStringUtf8(),
        "packed", summary.getContentBytes(),
        "tar", packed.substring(257, 262).toStringUtf8());
  }

  private static UploadArchiveResponse unpack(Session session, String path, byte[] archive) throws Exception {
    var call = service(session).uploadArchive();
    var start = UploadArchiveStart.newBuilder().setSandbox(session.sandbox).setPath(path);
    call.write(UploadArchiveRequest.newBuilder().setStart(start).build());
    call.write(UploadArchiveRequest.newBuilder().setData(ByteString.copyFrom(archive)).build());
    call.halfClose();
    return call.read();
  }

  private static void write(Session session, String path, ByteString data) throws Exception {
    var call = service(session).writeFile();
    var start = WriteFileStart.newBuilder().setSandbox(session.sandbox).setPath(path).setParents(true);
    call.write(WriteFileRequest.newBuilder().setStart(start).build());
    for (var at = 0; at < data.size(); at += CHUNK_BYTES) {
      var chunk = data.substring(at, Math.min(at + CHUNK_BYTES, data.size()));
      call.write(WriteFileRequest.newBuilder().setData(chunk).build());
    }
    call.write(WriteFileRequest.newBuilder().setFinish(true).build());
    call.halfClose();
    call.read();
  }

  private static ByteString read(Session session, String path, long offset, long length) throws Exception {
    var request = ReadFileRequest.newBuilder().setSandbox(session.sandbox).setPath(path);
    var parts = service(session).readFile(request.setOffset(offset).setLength(length).build());
    var data = ByteString.EMPTY;
    for (var part = parts.read(); part != null; part = parts.read()) {
      data = data.concat(part.getData());
    }
    return data;
  }

  private static List<String> list(Session session, String path) throws Exception {
    var request = ListFilesRequest.newBuilder().setSandbox(session.sandbox).setPath(path).setPageSize(1);
    var names = new ArrayList<String>();
    while (true) {
      var page = service(session).listFiles(request.build());
      names.addAll(page.getFilesList().stream().map(FileInfo::getPath).toList());
      if (page.getNextPageToken().isEmpty()) {
        return names;
      }
      request.setPageToken(page.getNextPageToken());
    }
  }
}

"""A buf plugin that runs one of protoc's built-in Python generators, out of grpcio-tools.

buf has no builtin for gRPC's Python generator and downloads none: it writes a CodeGeneratorRequest to a local
plugin's standard input and reads a CodeGeneratorResponse back (google/protobuf/compiler/plugin.proto). protoc itself
reads files, so the request's descriptors are handed to it as a descriptor set.

Usage (from buf.gen.yaml): protoc_plugin.py {python|pyi|grpc_python}
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def main(generator: str) -> None:
    request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    with tempfile.TemporaryDirectory() as scratch:
        descriptors, out = Path(scratch, "set.binpb"), Path(scratch, "out")
        out.mkdir()
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        arguments = [
            "protoc",
            f"--descriptor_set_in={descriptors}",
            f"--{generator}_out={out}",
            *request.file_to_generate,
        ]
        if status := protoc.main(arguments):
            sys.exit(status)
        response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
        for path in sorted(out.rglob("*.py*")):
            response.file.add(name=str(path.relative_to(out)), content=path.read_text())
    sys.stdout.buffer.write(response.SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1])

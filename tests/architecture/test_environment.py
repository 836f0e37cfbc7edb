"""What the environment must be for the code to mean what it says."""


def test_the_opentelemetry_protos_are_the_real_ones() -> None:
    """xds-protos ships an older copy under the same path (docs/decisions/0001)."""
    from opentelemetry.proto.common.v1 import common_pb2

    assert hasattr(common_pb2, "InstrumentationScope")

"""Keys: 32 opaque bytes, computed by the client (docs/embedding-keys.md). The service never sees the text."""

KEY_BYTES = 32


class KeysMalformed(ValueError):
    """A blob of keys that is no whole number of them."""

    def __init__(self, size: int) -> None:
        super().__init__(f"keys has {size} bytes, which is no multiple of {KEY_BYTES}: send whole SHA-256 digests")
        self.size = size


def split_keys(blob: bytes) -> list[bytes]:
    """The keys of a blob, in row order. Raises KeysMalformed."""
    if len(blob) % KEY_BYTES:
        raise KeysMalformed(len(blob))
    return [blob[at : at + KEY_BYTES] for at in range(0, len(blob), KEY_BYTES)]

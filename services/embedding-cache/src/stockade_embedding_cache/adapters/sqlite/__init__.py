"""The cache in one SQLite file: WAL, one writer thread, a checksum for each row.

A killed process loses nothing that was acknowledged; after a power failure the last transactions may be missing
(`synchronous=NORMAL`), which a cache may. A second process on the same file is refused by a lock. A file that cannot be
written, on a full disk say, is a backend that is away: reads go on.
"""

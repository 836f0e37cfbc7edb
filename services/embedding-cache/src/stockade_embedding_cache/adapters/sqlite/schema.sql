-- The cache on disk. Pages of 16 KiB hold two f32 vectors of 1536 numbers without overflow pages.
CREATE TABLE IF NOT EXISTS layers (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    epoch   INTEGER NOT NULL,
    entries INTEGER NOT NULL DEFAULT 0,
    bytes   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS vectors (
    id         INTEGER PRIMARY KEY,
    layer      INTEGER NOT NULL REFERENCES layers (id),
    key        BLOB NOT NULL,
    dimensions INTEGER NOT NULL,
    dtype      INTEGER NOT NULL,
    writer     TEXT NOT NULL,
    created    REAL NOT NULL,
    expires    REAL NOT NULL,
    data       BLOB NOT NULL,
    checksum   INTEGER NOT NULL  -- CRC-32 of all of the above but the ids
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS vectors_by_key ON vectors (layer, key);
CREATE INDEX IF NOT EXISTS vectors_by_expiry ON vectors (layer, expires);
CREATE INDEX IF NOT EXISTS vectors_by_writer ON vectors (writer, layer);

CREATE TRIGGER IF NOT EXISTS vectors_added AFTER INSERT ON vectors BEGIN
    UPDATE layers SET entries = entries + 1, bytes = bytes + length(new.data) WHERE id = new.layer;
END;
CREATE TRIGGER IF NOT EXISTS vectors_removed AFTER DELETE ON vectors BEGIN
    UPDATE layers SET entries = entries - 1, bytes = bytes - length(old.data) WHERE id = old.layer;
END;
CREATE TRIGGER IF NOT EXISTS vectors_renewed AFTER UPDATE OF data ON vectors BEGIN
    UPDATE layers SET bytes = bytes - length(old.data) + length(new.data) WHERE id = new.layer;
END;

"""The cache on Redis and Redis Cluster.

Every layer is spread over sixteen hash tags, {<layer>:<first nibble of the key>}, so that it uses a whole cluster and a
batch is one `MGET` for each tag (on one server, one in all). Beside the values of a tag stand, written by the same
script:

    …#index   a sorted set of its keys by expiry: what is there, how much, and what expires next
    …#heads   a hash from key to head (record.py): what a listing shows, and each value's size
    …#bytes   the sum of the sizes
    …#leases  a sorted set of who computes what, by when that ends

and for each layer its epoch, and in one hash for all layers their sizes. Nothing here scans a keyspace: no KEYS, no
FLUSHDB, no CONFIG; other users of the same Redis are neither seen nor touched.
"""

"""The tree against the definitions of RFC 6962 §2.1, written down as naively as they stand there."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_audit import multiproof, verify
from stockade_audit.hashes import HashFile
from stockade_audit.tree import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    root_from_inclusion,
)


def mth(leaves: list[bytes]) -> bytes:
    """Merkle Tree Hash, as RFC 6962 §2.1 defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of §2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of §2.1.2."""
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


some_leaves = st.lists(st.binary(max_size=4), min_size=1, max_size=70)


class Tree:
    """A tree in memory, whose nodes are computed by definition."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def node(self, level: int, n: int) -> bytes:
        return mth(self.leaves[n << level : (n + 1) << level])


@given(some_leaves)
def test_the_frontier_grows_the_tree_of_the_definition(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for size, leaf in enumerate(leaves):
        assert frontier.root() == mth(leaves[:size])
        frontier.append(leaf_hash(leaf))
    assert frontier.root() == mth(leaves)


@given(some_leaves, st.data())
def test_an_inclusion_proof_is_the_path_and_leads_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(Tree(leaves).node, index, len(leaves))
    assert proof == path(index, leaves)
    assert root_from_inclusion(index, len(leaves), leaf_hash(leaves[index]), proof) == mth(leaves)


@given(some_leaves, st.data())
def test_a_consistency_proof_is_the_subproof_and_convinces(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(0, len(leaves)))
    proof = consistency_proof(Tree(leaves).node, old, len(leaves))
    assert proof == (subproof(old, leaves, True) if 0 < old < len(leaves) else [])
    assert is_consistent(old, mth(leaves[:old]), len(leaves), mth(leaves), proof)


@given(some_leaves, st.data())
def test_no_proof_convinces_of_another_tree(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(Tree(leaves).node, old, len(leaves))
    changed = data.draw(st.integers(0, old - 1))
    other = [*leaves[:changed], leaves[changed] + b"!", *leaves[changed + 1 :]]
    assert not is_consistent(old, mth(other[:old]), len(leaves), mth(leaves), proof)
    assert not is_consistent(old, mth(leaves[:old]), len(leaves), mth(other), proof)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [(0, 3, [b"x" * 32]), (3, 2, []), (2, 3, []), (3, 3, [b"x" * 32]), (2, 4, [b"x" * 32] * 9)],
)
def test_proofs_of_a_wrong_shape_are_refused(old: int, new: int, proof: list[bytes]) -> None:
    leaves = [b"a", b"b", b"c", b"d"]
    assert not is_consistent(old, mth(leaves[:old]), new, mth(leaves[:new]), proof)


@given(some_leaves, st.data())
def test_one_proof_for_many_leaves_leads_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    positions = sorted(data.draw(st.sets(st.integers(0, len(leaves) - 1))))
    proof = list(multiproof.prove(Tree(leaves).node, len(leaves), positions))
    hashes = [leaf_hash(leaves[position]) for position in positions]
    rest = iter(proof)
    assert verify.tree_root(len(leaves), positions, hashes, rest) == mth(leaves)
    assert next(rest, None) is None
    if positions:
        hashes[0] = leaf_hash(b"another")
        assert verify.tree_root(len(leaves), positions, hashes, iter(proof)) != mth(leaves)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_the_hash_file_gives_every_root_back(tmp_path_factory: pytest.TempPathFactory, batches: list[int]) -> None:
    leaves = [bytes([n % 251]) for n in range(sum(batches))]
    file = HashFile(tmp_path_factory.mktemp("h") / "x", 0)
    for count in batches:
        file.append([leaf_hash(leaf) for leaf in leaves[file.size : file.size + count]])
    assert [file.root(size) for size in range(len(leaves) + 1)] == [mth(leaves[:n]) for n in range(len(leaves) + 1)]
    file.close()

"""A uid for each sandbox."""

import pytest
from stockade_sandbox.domain.errors import NodeFull
from stockade_sandbox.uids import Uids


def test_each_is_given_once_and_rests_after() -> None:
    uids = Uids(1000, 3, [], "node-0")
    first, second = uids.take(), uids.take()
    assert (first, second) == (1000, 1001)
    uids.give_back(first)
    assert uids.take() == 1002  # the one given back rests as long as another is free
    assert uids.take() == first
    with pytest.raises(NodeFull):
        uids.take()


def test_one_that_is_shared_is_free_when_all_have_given_it_back() -> None:
    uids = Uids(1000, 2, [1001], "node-0")
    assert uids.share(1001) == 1001
    uids.give_back(1001)
    assert uids.take() == 1000
    with pytest.raises(NodeFull):
        uids.take()
    uids.give_back(1001)
    assert uids.take() == 1001


def test_those_of_living_sandboxes_are_taken() -> None:
    uids = Uids(1000, 3, [1001, 1002], "node-0")
    assert uids.take() == 1000

# SPDX-License-Identifier: BSD-3-Clause
"""A 3.6.1 that can't read one mailbox tells nothing at all of its user: the others go over nevertheless."""

import pytest

from cyltest import Pair
from cyltest.unreadable import annotations, index, one_is_unreadable, rolling_goes_on


@pytest.fixture
def pair(factory, debian_factory):
    return Pair(factory("ours", services=("imap", "csync")), debian_factory("debian", services=("imap", "csync")))


@pytest.mark.parametrize("what", [annotations, index])
def test_one_is_unreadable(pair, what):
    one_is_unreadable(pair, what)


def test_rolling(pair):
    rolling_goes_on(pair, annotations)

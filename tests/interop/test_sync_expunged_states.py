# SPDX-License-Identifier: BSD-3-Clause
"""Debian's 3.6.1 at either end: what is expunged and purged at different times is no difference (W021)."""

import pytest

from cyltest import Pair, expungedstates

SERVICES = ("imap", "csync")


@pytest.mark.parametrize("master", ["ours", "debian"])
@pytest.mark.parametrize("way", [expungedstates.one_round, expungedstates.also_astray])
def test_all_states_at_both_ends(factory, debian_factory, master, way):
    ends = factory("ours", services=SERVICES), debian_factory("debian", services=SERVICES)
    way(Pair(*(ends if master == "ours" else ends[::-1])))


@pytest.mark.parametrize("living", [True, False])
def test_made_and_not_filled(factory, debian_factory, living):
    expungedstates.made_and_not_filled(Pair(factory("ours", services=SERVICES), debian_factory("debian", services=SERVICES)), living)

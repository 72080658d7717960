# SPDX-License-Identifier: BSD-3-Clause
"""A mailbox that the replica can't read keeps no other mailbox of its user back; the run fails until it is mended."""

from cyltest.unreadable import index, one_is_unreadable, rolling_goes_on


def test_one_is_unreadable(pair):
    one_is_unreadable(pair, index)


def test_rolling(pair):
    rolling_goes_on(pair, index)

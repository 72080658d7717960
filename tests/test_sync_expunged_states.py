# SPDX-License-Identifier: BSD-3-Clause
"""What is expunged and purged at different times on the two ends is no difference, also when a purge has not come to its end (W021).

CYL_PURGE_STRIDE  a purge is killed at each so many-th change of the disk (default 5)
"""

import os

import pytest

from cyltest import expungedstates
from cyltest.storefiles import UNLINKED, Snapshot, index_of

STRIDE = int(os.environ.get("CYL_PURGE_STRIDE") or 5)


@pytest.mark.parametrize("way", [expungedstates.one_round, expungedstates.also_astray])
def test_all_states_at_both_ends(pair, way):
    way(pair)


@pytest.mark.parametrize("living", [True, False])
def test_made_and_not_filled(pair, living):
    expungedstates.made_and_not_filled(pair, living)


@pytest.mark.parametrize("end", ["primary", "replica"])
def test_purge_is_killed(pair, end):
    """One end purges what both know to be expunged, the primary also what the replica does not know yet."""
    expungedstates.arrange(pair)
    ends = pair.primary, pair.replica
    purged = getattr(pair, end)
    for server in ends:
        server.allow_log("DBERROR|journal|finish")
        server.stop()
    saved = [Snapshot(server) for server in ends]
    seen = set()
    for nth in range(1, 100, STRIDE):
        for server, snapshot in zip(ends, saved):
            if server.running:
                server.kill()
            snapshot.restore()
        pair.start()
        purged.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = purged.run("cyr_expire", "-E", "1", "-X", "0", "-u", "anna", check=False)
        del purged.env["CYLINDER_DISKIO_KILL"]
        expungedstates.run_in_one_round(pair)
        seen.add(sum(bool(rec["flags"] & UNLINKED) for rec in index_of(purged, expungedstates.BOX).records))
        if done.returncode == 0:
            break
    assert done.returncode == 0 and nth > 30 and len(seen) > 1

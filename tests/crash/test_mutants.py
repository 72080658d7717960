# SPDX-License-Identifier: BSD-3-Clause
"""With a sync left out, or two steps swapped, the same tests must fail. doc/crash-tests.md says what each one is."""

import pytest

import scenarios

# A mutant is tried on so many images at most; each is found much earlier.
IMAGES = 1500

# While the server is recorded: the environment, and what it then does.
RECORDED = {
    "log not synced": ({"CYLINDER_DISKIO_SKIP": "fdatasync:/conf/journal/"}, scenarios.delivery),
    "file systems not synced": ({"CYLINDER_DISKIO_SKIP": "syncfs"}, scenarios.rename_and_delete),
    "stage not synced": ({"CYLINDER_DISKIO_SKIP": "fsync:/stage."}, scenarios.delivery),
    "names of segments not synced": ({"CYLINDER_DISKIO_SKIP": "fsync:/conf/journal"},
                                     scenarios.first_start_and_create),
    "database not synced": ({"CYLINDER_DISKIO_SKIP": "fdatasync:/alone.db"},
                            scenarios.database_alone),
    "name of a database not synced": ({"CYLINDER_DISKIO_SKIP": "fsync:/conf"},
                                      scenarios.database_alone),
    "file of a move not synced": ({"CYLINDER_DISKIO_SKIP": "fsync:/conf/moves/"}, scenarios.moved_away),
    "apply-before-sync": ({"CYLINDER_MUTANT": "apply-before-sync"}, scenarios.delivery),
    "no-announcement": ({"CYLINDER_MUTANT": "no-announcement"}, scenarios.many_windows),
    "checkpoint-before-syncfs": ({"CYLINDER_MUTANT": "checkpoint-before-syncfs"},
                                 scenarios.rename_and_delete),
    "lazy-not-again": ({"CYLINDER_MUTANT": "lazy-not-again"}, scenarios.delete_at_once),
    "remove-at-once": ({"CYLINDER_MUTANT": "remove-at-once"}, scenarios.delete_at_once),
    "twoskip-header-first": ({"CYLINDER_MUTANT": "twoskip-header-first"},
                             scenarios.database_alone),
}
# While the store is recovered.
RECOVERED = {
    "no-cut-back": scenarios.rename_and_delete,
    "redo-all": scenarios.delete_at_once,
}


@pytest.mark.parametrize("mutant", RECORDED)
def test_recorded_mutant(recording, mutant):
    env, scenario = RECORDED[mutant]
    scenario(recording, env)
    recording.stop()
    result = recording.check(IMAGES, "-1")
    print(f"\n{mutant}: wrong after {result.tried} images")
    assert result.wrong, f"nobody would notice: {mutant}\n{result.output}"


@pytest.mark.parametrize("mutant", RECOVERED)
def test_recovery_mutant(recording, mutant):
    RECOVERED[mutant](recording)
    recording.stop()
    result = recording.check(IMAGES, "-1", env={"CYLINDER_MUTANT": mutant})
    print(f"\n{mutant}: wrong after {result.tried} images")
    assert result.wrong, f"nobody would notice: {mutant}\n{result.output}"

# SPDX-License-Identifier: BSD-3-Clause
"""A whole store against a model in memory: random operations of users, administrators, tools and kill -9; after each of
them everything that IMAP shows is what the model says (cyltest/model*.py).

CYL_MODEL_STEPS  steps of all runs together (default 600; every night 100000)
CYL_MODEL_SEED   the first seed (default 1); a failure tells the seed and the last steps
"""

import os

import pytest

from cyltest.model_world import World

STEPS = int(os.environ.get("CYL_MODEL_STEPS") or 600)
SEED = int(os.environ.get("CYL_MODEL_SEED") or 1)
STEPS_OF_A_RUN = 1000  # a long run keeps few mailboxes; more runs see more beginnings


@pytest.mark.parametrize("seed", range(SEED, SEED + max(1, STEPS // STEPS_OF_A_RUN)))
def test_random_operations(factory, seed):
    world = World(factory(services=("imap", "lmtp")), seed)
    try:
        world.run(min(STEPS, STEPS_OF_A_RUN))
        world.nothing_to_repair()
    finally:
        world.close()
    print(world.conf, dict(world.counts))

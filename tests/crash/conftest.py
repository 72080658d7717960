# SPDX-License-Identifier: BSD-3-Clause
"""Servers of the power-cut tests live in memory when there is room, as they are written thousands of times."""

import os
import shutil
import tempfile

import pytest

from recording import Recording

ROOM = 256 * 1024 * 1024


@pytest.fixture(autouse=True)
def in_memory(monkeypatch):
    shm = "/dev/shm"
    if os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > ROOM:
        monkeypatch.setattr(tempfile, "tempdir", shm)


@pytest.fixture
def recording(factory, in_memory):
    made = Recording(factory(services=("imap", "lmtp", "csync")))
    made.factory = factory  # for a second server, whose disk is not recorded
    return made

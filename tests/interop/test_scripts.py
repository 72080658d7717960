# SPDX-License-Identifier: BSD-3-Clause
"""The conversations of scripts are what 3.6.1 says, to the byte."""

import glob
import os

import pytest

from cyltest.script import SERVICES, Player, Script, prepare, run

HERE = os.path.join(os.path.dirname(__file__), "..", "scripts")
SCRIPTS = sorted(glob.glob(os.path.join(HERE, "*", "*.txt")))


@pytest.mark.parametrize("path", SCRIPTS, ids=[os.path.basename(p)[:-4] for p in SCRIPTS])
def test_script(path, debian_factory):
    script = Script.load(path)
    server = prepare(debian_factory(services=SERVICES), script)
    differences = run(script, Player(server), ours=False)
    assert not differences, differences

# SPDX-License-Identifier: BSD-3-Clause
"""The conversations of scripts, IMAP, LMTP and POP3, answer by answer. What 3.6.1 says to them is proved in interop/test_scripts.py."""

import glob
import os

import pytest

from cyltest.script import SERVICES, Player, Script, prepare, run

HERE = os.path.join(os.path.dirname(__file__), "scripts")
SCRIPTS = sorted(glob.glob(os.path.join(HERE, "*", "*.txt")))


def test_there_are_scripts():
    assert {os.path.basename(os.path.dirname(path)) for path in SCRIPTS} == {"imap", "lmtp", "pop3"}


@pytest.mark.parametrize("path", SCRIPTS, ids=[os.path.basename(p)[:-4] for p in SCRIPTS])
def test_script(path, factory):
    script = Script.load(path)
    differences = run(script, Player(prepare(factory(services=SERVICES), script)))
    assert not differences, differences


@pytest.mark.parametrize("path", SCRIPTS, ids=[os.path.basename(p)[:-4] for p in SCRIPTS])
def test_each_difference_has_its_reason(path):
    """An answer of ours that is not 3.6.1's has a remark above its block."""
    with open(path, encoding="latin-1") as f:
        lines = f.read().split("\n")
    for number in (b.number for b in Script.load(path).steps if not isinstance(b, str) and b.ours is not None):
        assert lines[number - 2].startswith("# ours: "), f"line {number}"

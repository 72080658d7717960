# SPDX-License-Identifier: BSD-3-Clause
"""The conversations of scripts/imap, answer by answer."""

import glob
import os

import pytest

from cyltest.credentials import password
from cyltest.script import Player, Script, run

HERE = os.path.join(os.path.dirname(__file__), "scripts", "imap")
SCRIPTS = sorted(glob.glob(os.path.join(HERE, "*.txt")))


def test_there_are_scripts():
    assert SCRIPTS


@pytest.mark.parametrize("path", SCRIPTS, ids=[os.path.basename(p)[:-4] for p in SCRIPTS])
def test_script(path, factory):
    with open(path, encoding="latin-1") as f:
        script = Script(f.read())
    server = factory(services=("imap",))
    server.conf.update({"unixhierarchysep": False, "altnamespace": False, "conversations": False})
    server.conf.update(script.conf)
    server.add_user("cassandane")
    server.start()

    def connect(user):
        client = server.imap()
        client.login(user, password(user))
        return client

    differences = run(script, Player(connect))
    assert not differences, differences

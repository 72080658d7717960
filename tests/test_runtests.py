# SPDX-License-Identifier: BSD-3-Clause
"""tools/runtests, in a tree of its own whose build is a shell script."""

import os
import shutil
import subprocess

import pytest

from cyltest.programs import TOP

CONFIGURE = """#!/bin/sh
mkdir -p cunit && printf 'SUITE(one)\\nSUITE(two)\\n' >cunit/unit_suites.h
printf 'all: cunit/unit\\ncheck: all\\ncunit/unit: ../unit.in\\n\\tmkdir -p cunit && cp ../unit.in $@ && chmod +x $@ && sh -n $@\\n' >Makefile
"""


GOOD = "[ $1 = two ] && n=1 || n=2; echo \"100%: Checks: $n, Failures: 0, Errors: 0\""


@pytest.fixture
def tree(tmp_path):
    os.makedirs(tmp_path / "tools")
    shutil.copy(os.path.join(TOP, "tools", "runtests"), tmp_path / "tools")
    (tmp_path / "configure.ac").write_text("")
    (tmp_path / "configure").write_text(CONFIGURE)
    os.chmod(tmp_path / "configure", 0o755)
    unit(tmp_path, GOOD)
    return tmp_path


def unit(tree, text):
    """The source of the programs is newer than all that was built."""
    (tree / "unit.in").write_text(f"#!/bin/sh\n{text}\n")
    built = tree / "build" / "cunit" / "unit"
    if built.exists():
        os.utime(built, (1, 1))


def run(tree, *layers):
    done = subprocess.run([tree / "tools" / "runtests", "--no-install", *layers], capture_output=True, text=True, check=False)
    return done.returncode, [line.split(" (")[0] for line in done.stdout.splitlines() if line.startswith("==")]


def test_a_layer_builds_first(tree):
    assert run(tree, "unit") == (0, ["== build: 1 passed, 0 failed", "== unit: 3 passed, 0 failed"])
    unit(tree, "[ $1 = one ] || exit 1\necho '50%: Checks: 4, Failures: 2, Errors: 0'; exit 1")
    assert run(tree, "unit") == (1, ["== build: 1 passed, 0 failed", "== unit: 2 passed, 3 failed"])


def test_a_suite_that_says_nothing_has_failed(tree):
    for trouble in ("exit 0", "kill -9 $$", "exit 70"):
        unit(tree, f"[ $1 = one ] || {{ {trouble}; }}\n{GOOD}")
        status, said = run(tree, "unit")
        assert status == 1 and said[-1].startswith("== unit: 2 passed, ") and not said[-1].endswith(", 0 failed"), (trouble, said)
    (tree / "configure").write_text(CONFIGURE.replace("SUITE", "NONE"))
    (tree / "build" / "Makefile").unlink()
    assert run(tree, "unit")[1][-1] == "== unit: 0 passed, 1 failed"


def test_old_programs_are_not_tested(tree):
    assert run(tree, "unit")[0] == 0
    unit(tree, "if")
    assert run(tree, "unit") == (1, ["== build: 0 passed, 1 failed", "== unit: CAN'T RUN: the build failed",
                                     "== unit: 0 passed, 1 failed"])


def test_build_comes_first_and_once(tree):
    assert run(tree, "unit", "build") == (0, ["== build: 1 passed, 0 failed", "== unit: 3 passed, 0 failed"])


def test_options_of_another_are_kept(tree):
    os.makedirs(tree / "build")
    subprocess.run(["../configure"], cwd=tree / "build", check=True)
    with open(tree / "build" / "Makefile", "a", encoding="ascii") as f:
        f.write("# by hand\n")
    assert run(tree, "unit")[0] == 0
    assert "by hand" in (tree / "build" / "Makefile").read_text()

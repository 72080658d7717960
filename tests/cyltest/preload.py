# SPDX-License-Identifier: BSD-3-Clause
"""Small libraries of C that are loaded into the programs of a server before their own."""

import os
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


def build(server, name):
    """Path of the library that is made of NAME.c here."""
    path = server.path(f"{name}.so")
    compiler = os.environ.get("CC", "cc").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"NOT TESTED: no C compiler to build {name}")
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", path, os.path.join(HERE, f"{name}.c")],
                   check=True, capture_output=True)
    os.chmod(path, 0o755)
    return path


def build_for_ours(server, name):
    """The same for programs of the build tree."""
    with open(server.program("sync_client"), "rb") as program:
        if b"__asan_init" in program.read():
            pytest.skip(f"NOT TESTED: the sanitizer wants to be the first library, and so does {name}")
    return build(server, name)

# SPDX-License-Identifier: BSD-3-Clause
"""The harness itself: what a process says at its end fails the test that it belongs to."""

import os

import pytest


@pytest.mark.parametrize("what, name", (("leaked in 1 allocation", "tmp/sanitizer.4711"),
                                        ("core files", "conf/cores/core")))
def test_what_a_process_leaves_fails_the_test(factory, what, name):
    server = factory()
    server.check()
    with open(server.path(name), "w", encoding="utf-8") as report:
        report.write("SUMMARY: AddressSanitizer: 40 byte(s) leaked in 1 allocation(s).")
    with pytest.raises(AssertionError, match=what):
        server.check()
    os.unlink(server.path(name))


def test_the_sanitizers_write_where_the_harness_looks(factory):
    server = factory()
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        assert f"log_path={server.path('tmp', 'sanitizer')}" in server.env[name]

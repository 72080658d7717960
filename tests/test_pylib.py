# SPDX-License-Identifier: BSD-3-Clause
"""Python's imaplib, poplib and smtplib: what each method makes of our answers (tests/interop compares them with 3.6.1's)."""

import imaplib
import inspect
import poplib
import re

import pytest

from cyltest import pylib


@pytest.fixture
def lib_server(factory):
    return pylib.prepare(factory(services=("imap", "pop3", "lmtp")))


def check(day, not_ok):
    assert set(not_ok) <= set(day.statuses()), "a step is missing"
    wrong = [step for step in day.steps if step[1] != not_ok.get(step[0], "OK")]
    assert not wrong, wrong


# Not asked of a server, or of one whose mechanism is not offered; partial() is of RFC 1064.
NO_COMMANDS = {"open", "read", "readline", "send", "shutdown", "socket", "print_log", "partial", "login_cram_md5"}
NOT_POP = {"close", "set_debuglevel"}


def unused(cls):
    """Methods of the class that no day calls."""
    source = inspect.getsource(pylib)
    names = {name for name, _ in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}
    return {name for name in names if not re.search(rf"\.{name}[(),]", source)}


def test_imaplib(lib_server):
    check(pylib.imap_day(lib_server), pylib.IMAP_NOT_OK)
    assert not unused(imaplib.IMAP4) - NO_COMMANDS


def test_imaplib_over_tls(factory):
    server = factory(services=("imap",))
    server.use_tls()
    server.conf["allowplaintext"] = False
    pylib.prepare_tls(server)
    check(pylib.imap_tls_day(server), {"login in the clear": "BAD", "starttls again": "BAD"})


def test_poplib(lib_server):
    check(pylib.pop_day(lib_server), pylib.POP_NOT_OK)
    assert not unused(poplib.POP3) - NOT_POP


def test_smtplib(lib_server):
    check(pylib.lmtp_day(lib_server), pylib.LMTP_NOT_OK)
    stored = pylib.stored(lib_server, "bob")
    assert len(stored) == 4 and b"Subject: Re: first" in stored[1], stored

# SPDX-License-Identifier: BSD-3-Clause
"""3.6.1's sync_server behind a program or a unix socket."""

import os

import pytest

from cyltest import Pair
from cyltest.refill import CONF, fill
from cyltest.syncdata import assert_same
from cyltest.transports import another_user, ask_as, exports, public_directory, service, service_env, write_program


@pytest.fixture(scope="module")
def pair(module_factory, module_debian_factory):
    pair = Pair(module_factory("primary"), module_debian_factory("replica"))
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
    pair.socket = os.path.join(public_directory(pair.replica), "csync")
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.socket)
    serve = service(pair.replica)
    for channel, line in (("socket", f"exec {serve}"), ("pipe", f"cat | {serve} | cat")):
        pair.primary.conf[f"{channel}_sync_transport"] = write_program(pair.primary, channel, exports(pair.replica), line)
    pair.start()
    fill(pair)
    return pair


@pytest.mark.parametrize("channel", ["socket", "pipe"])
def test_its_sync_server_trusts_who_has_started_it(pair, channel):
    with pair.primary.imap("anna") as imap:
        imap.append("INBOX.Work", b"Subject: %s\r\n\r\nbody\r\n" % channel.encode())
        imap.logout()
    done = pair.primary.run("sync_client", "-v", "-o", "-n", channel, "-u", "anna")
    assert "1 messages uploaded" in done.stdout
    assert_same(pair.primary, pair.replica)


def test_its_banner_then_announces_nothing(pair):
    env, pair.replica.env = pair.replica.env, service_env(pair.replica)
    told = pair.replica.run("sync_server", "-X", data="EXIT\n").stdout.splitlines()
    pair.replica.env = env
    assert told[0].startswith("* OK ") and told[1:] == ["OK Finished"]


def test_its_socket_is_open_to_everybody_who_reaches_it(pair):
    """Ours asks whose process it is (sync_socket_users)."""
    assert "OK success" in ask_as(another_user(pair.replica), pair.socket)


@pytest.mark.parametrize("mechs", ["PLAIN", "SCRAM-SHA-256"])
def test_its_client_is_let_in_by_sync_accept(debian_factory, factory, mechs):
    """It has the name and the secret as it always has; the replica has neither an account nor an admin of that name."""
    pair = Pair(debian_factory("primary"), factory("replica"))
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
    secret = pair.replica.path("conf/secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write("what both know\n")
    pair.replica.account.give(secret)
    os.chmod(secret, 0o600)
    pair.replica.conf.update({"sync_accept": f"three.six.one {secret}", "csync_sasl_mech_list": f"PLAIN {mechs}"})
    pair.primary.conf.update({"sync_authname": "three.six.one", "sync_password": "what both know"})
    pair.start()
    fill(pair)
    assert f"three.six.one {mechs} User logged in" in pair.replica.log_text()
    assert_same(pair.primary, pair.replica)

# SPDX-License-Identifier: BSD-3-Clause
"""From a 3.6.1 alone to a pair in which it is our replica, compared at each step (W094)."""

from cyltest import Pair, rolling
from cyltest.credentials import password
from cyltest.syncdata import fill_user, message

USERS = ("anna", "bob")


def test_a_361_becomes_our_replica(debian_factory, factory):
    debian = debian_factory("master", services=("imap", "lmtp", "csync"))
    ours = factory("ours", services=("imap", "lmtp", "csync"))
    pair = Pair(debian, ours)
    for server, other in ((debian, ours), (ours, debian)):
        server.conf.update({**rolling.CONF, "conversations_db": "twoskip", "sync_host": "127.0.0.1",
                            "sync_port": other.ports["csync"], "sync_authname": "repl", "sync_password": password("repl"),
                            "sync_try_imap": False, "proxy_authname": "repl", "proxy_password": password("repl")})
        server.allow_log(".")
        for user in USERS:
            server.add_user(user)
    pair.start()
    for user in USERS:
        fill_user(debian, user)
    # our replica of a running 3.6.1
    debian.run("sync_client", "-o", "-A")
    compare(ours, pair)
    with debian.imap("anna") as imap:  # has not gone across yet
        imap.append("INBOX", message(20))
        imap.logout()
    # the other end can't be told
    done = ours.run("failover", "takeover", check=False)
    assert done.returncode == 75 and "knows no roles" in done.stderr
    done = ours.run("failover", "takeover", "--fenced")
    assert done.stdout.endswith("0 differences left\n")
    compare(ours, pair)
    # it has become ours
    with ours.imap("anna") as imap:
        assert b"* 4 EXISTS" in imap.ok("SELECT INBOX").untagged
        imap.append("INBOX", message(21))
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("RENAME INBOX.Work INBOX.Play")
        imap.logout()
    ours.run("sync_client", "-o", "-A")
    compare(ours, pair)
    # nothing of 3.6.1's gets in any more
    with debian.imap("bob") as imap:
        imap.append("INBOX", message(22))
        imap.logout()
    assert "This server is the primary" in debian.run("sync_client", "-v", "-o", "-u", "bob", check=False).stdout \
        + debian.log_text()
    assert ours.run("failover", "rejoin", "--fenced").stdout.endswith("0 differences left\n")
    compare(ours, pair)


def compare(ours, pair):
    done = ours.run("check_replication", *pair.labels(), *USERS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

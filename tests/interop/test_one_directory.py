# SPDX-License-Identifier: BSD-3-Clause
"""A store in which 3.6.1 gave one uniqueid, and so one directory, to several users (07 W041).

3.6.1 makes it itself: without defaultpartition its generator of ids is seeded with the time in seconds. The
message is written by 3.6.1 by way of one name; whoever cyrus.header names has it. The other names must not see
it, nor any file of that user, until `reconstruct -I` gives them directories of their own.
"""

import os
import time

import pytest

from cyltest.clients import Rejected

USERS = ("alice", "bob", "carol")  # created in one second; dave is alone
SECRET = b"Subject: for one only\r\n\r\nnobody else may read this\r\n"


def create_at_once(debian):
    """Each by a session of its own, in one second."""
    sessions = [debian.imap("admin") for _ in USERS]
    for imap in sessions:
        imap.ok("NOOP")
    time.sleep(1.05 - time.time() % 1)
    tags = [imap.start(f"CREATE user/{user}") for imap, user in zip(sessions, USERS)]
    for imap, tag in zip(sessions, tags):
        imap.finish(tag)
        imap.logout()


def directory(instance, user):
    return instance.run("mbpath", f"user/{user}").stdout.strip()


def owner_of(path):
    with open(os.path.join(path, "cyrus.header"), "rb") as f:
        header = f.read()
    owners = [user for user in USERS if b"user." + user.encode() in header or b"user\x1f" + user.encode() in header]
    assert len(owners) == 1, header
    return owners[0]


@pytest.fixture
def clash(factory, debian_factory):
    """Our server, not started, on the store; it has .owner, .others, .dir."""
    debian = debian_factory(services=("imap",))
    del debian.conf["defaultpartition"]
    debian.start()
    create_at_once(debian)
    time.sleep(1.05 - time.time() % 1)
    with debian.imap("admin") as imap:
        imap.ok("CREATE user/dave")
    dirs = {directory(debian, user) for user in USERS}
    assert len(dirs) < len(USERS), "3.6.1 did not repeat itself"
    owner = owner_of(dirs.pop())
    with debian.imap(owner) as imap:
        imap.append("INBOX", SECRET)
        imap.ok("CREATE Secret")
        imap.ok("SUBSCRIBE Secret")
        imap.logout()
    debian.stop()

    server = factory(services=("imap", "lmtp"))
    for option in ("configdirectory", "partition-default", "conversations"):
        server.conf[option] = debian.conf[option]
    server.write_conf()
    server.dir = directory(server, owner)
    server.owner = owner
    server.others = [u for u in USERS if u != owner and directory(server, u) == server.dir]
    assert server.others
    server.allow_log("two mailboxes have one uniqueid")
    return server


def saw_secret(imap):
    lines = [imap.ok("NOOP")]
    for command in ("SELECT INBOX", "STATUS INBOX (MESSAGES)", 'LSUB "" *', "FETCH 1:* BODY.PEEK[]", "UNSELECT"):
        lines.append(imap.cmd(command))
    return any(word in str(line) for line in lines for word in ("nobody else", "Secret", "MESSAGES 1", " 1 EXISTS"))


def test_refused_and_separated(clash):
    server = clash.start()
    for user in server.others:
        with server.imap(user) as imap:
            assert not saw_secret(imap)
            with pytest.raises(Rejected):
                imap.append("INBOX", SECRET)
            imap.no("SELECT INBOX")
        with server.lmtp() as lmtp:
            [(code, _)] = lmtp.deliver(SECRET, user)
            assert 400 <= code < 500
    assert "DBERROR: two mailboxes have one uniqueid and directory, this one is refused" in server.log_text()
    with server.imap(server.owner) as imap:
        assert saw_secret(imap)
        imap.logout()

    with server.imap("dave") as imap:
        imap.append("INBOX", SECRET)
        assert saw_secret(imap)
        imap.logout()

    told = server.run("ctl_mboxlist", "-v", check=False)
    assert "dave" not in told.stdout and told.returncode
    for user in server.others:
        assert f"'user.{user}' has the uniqueid and directory of 'user.{server.owner}'" in told.stdout
    before = sorted(os.listdir(server.dir))
    for flags in ((), ("-n", "-I")):
        for user in server.others:
            done = server.run("reconstruct", *flags, f"user/{user}", check=False)
            assert f"Wrong uniqueid! user.{server.owner} (should be user.{user})" in done.stdout
            assert directory(server, user) == server.dir
    assert sorted(os.listdir(server.dir)) == before
    separate(server)


def separate(server):
    for user in server.others:
        done = server.run("reconstruct", "-I", f"user/{user}")
        assert f"all messages stay with user.{server.owner}" in done.stdout
    server.run("reconstruct", f"user/{server.owner}")
    for user in server.others:
        with server.imap(user) as imap:
            assert not saw_secret(imap)
            imap.append("INBOX", b"Subject: own\r\n\r\nmine\r\n")
            imap.ok("SELECT INBOX")
            assert "mine" in str(imap.ok("FETCH 1 BODY.PEEK[]"))
            imap.logout()
    with server.imap(server.owner) as imap:
        assert saw_secret(imap)
        imap.append("INBOX", SECRET)
        imap.logout()
    assert len({directory(server, user) for user in [server.owner, *server.others]}) == 1 + len(server.others)
    assert server.run("ctl_mboxlist", "-v").stdout == ""
    for user in (server.owner, *server.others):
        assert server.run("reconstruct", "-n", f"user/{user}").stdout == f"user/{user}\n"

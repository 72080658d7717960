# SPDX-License-Identifier: BSD-3-Clause
"""Directories and files that are missing or can't be written to when a program starts.

Every tool says on the terminal what is wrong and names it, ends with a code that tells, and changes nothing;
master and the servers say it in the log, and where they can to the client, and work again once it is mended.
"""

import hashlib
import os
import re
import shutil

import pytest

from cyltest.instance import StartFailed

MESSAGE = b"From: a@example.com\r\nSubject: kept\r\nMessage-ID: <kept@example.com>\r\n\r\nbody\r\n"

# Tools that use the store, with arguments that would do something. CONF: the configuration directory.
STORE_TOOLS = [
    ("ctl_mboxlist", "-d"), ("ctl_mboxlist", "-v"), ("quota",), ("quota", "-f"), ("mbpath", "user/alice"),
    ("mbexamine", "user/alice"), ("reconstruct", "user/alice"), ("cyr_expire", "-E", "1", "-X", "0", "-D", "0"),
    ("ctl_conversationsdb", "-d", "alice"), ("ctl_conversationsdb", "-R", "-r"), ("ctl_cyrusdb", "-c"),
    ("ctl_cyrusdb", "-r"), ("unexpunge", "-l", "user/alice"), ("ipurge", "-d", "0", "-f"),
    ("relocate_by_id", "user/alice"), ("sync_client", "-S", "127.0.0.1", "-u", "alice"), ("sync_reset", "-f", "alice"),
    ("failover", "-S", "127.0.0.1", "takeover", "--lost"),
    ("cyr_dbtool", "--user=alice", "conversations", "show"),
]
OTHER_TOOLS = [
    ("cyr_dbtool", "CONF/mailboxes.db", "twoskip", "show"),
    ("cvt_cyrusdb", "CONF/mailboxes.db", "twoskip", "CONF/mailboxes.flat", "flat"),
    ("deliver", "alice"), ("cyr_info", "conf"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that is not ours")


@pytest.fixture
def stopped(factory):
    """A server with mail, stopped cleanly. Its log is beside the configuration directory."""
    server = factory(services=("imap", "lmtp", "pop3", "csync"))
    server.start()
    server.create_user("alice")
    server.deliver(MESSAGE, "alice")
    server.stop()
    return server


def digest(*tops):
    """What stands in all files below the directories, but for locks."""
    sums = {}
    for top in tops:
        for path, _, files in os.walk(top):
            for name in files:
                full = os.path.join(path, name)
                if "/lock/" not in full and not full.endswith("journal/lock"):
                    with open(full, "rb") as f:
                        sums[full] = hashlib.sha1(f.read()).hexdigest()
    return sums


def give_away(top):
    """Nobody but root can write below top."""
    for path, _, files in os.walk(top):
        for name in (path, *(os.path.join(path, name) for name in files)):
            os.chown(name, 0, 0)
            os.chmod(name, 0o555)


def give_back(account, top):
    for path, _, files in os.walk(top):
        for name in (path, *(os.path.join(path, name) for name in files)):
            account.give(name)
            os.chmod(name, 0o755)


def run(server, tool):
    name, *args = (word.replace("CONF", server.path("conf")) for word in tool)
    return server.run(name, *args, check=False, data="", timeout=30)


def refuse_work(server, create=True):
    """New sessions hear of it, and none of them ends before it has been told."""
    with server.imap("alice") as imap:
        imap.no("SELECT INBOX")
        if create:
            imap.no("CREATE Other")
        imap.ok("NOOP")
    with server.pop3() as pop:
        pop.ok("USER alice")
        assert pop.err("PASS alice.pw").startswith(b"-ERR [SYS/")
    with server.lmtp() as lmtp:
        code, text = lmtp.deliver(MESSAGE, ["alice"])[0]
        assert code // 100 == 4, (code, text)
        assert lmtp.cmd("NOOP")[0] == 250
    with server.sync("repl") as sync:
        assert sync.cmd("GET USER alice").status == "NO"
        sync.ok("NOOP")


def has_its_mail(server):
    server.start()
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        assert b"Subject: kept" in imap.ok("FETCH 1 BODY.PEEK[HEADER]").find("* 1 FETCH")[0]
    server.deliver(MESSAGE.replace(b"kept", b"more"), "alice")
    with server.imap("alice") as imap:
        assert imap.ok("STATUS INBOX (MESSAGES)").find("* STATUS") == [b"* STATUS INBOX (MESSAGES 2)"]


def test_no_configuration_file(stopped):
    before = digest(stopped.path("conf"), stopped.path("spool"))
    os.rename(stopped.imapd_conf, stopped.path("other"))
    stopped.write_conf = lambda: None
    for tool in STORE_TOOLS + OTHER_TOOLS + [("master",)]:
        done = run(stopped, tool)
        assert done.returncode == 78, (tool, done)
        told = done.stdout if tool[0] == "deliver" else done.stderr
        assert f"can't open configuration file {stopped.imapd_conf}: No such file or directory" in told, (tool, done)
    assert digest(stopped.path("conf"), stopped.path("spool")) == before


def test_no_configdirectory_option(stopped):
    stopped.conf["configdirectory"] = None
    stopped.write_conf()
    for tool in STORE_TOOLS:
        done = run(stopped, tool)
        assert done.returncode == 78 and "configdirectory option not specified" in done.stderr, (tool, done)


def test_missing_configdirectory(stopped):
    """It is not made anew: it may be on a disk that is not mounted."""
    server = stopped
    server.allow_log("can't use the configdirectory")
    conf = server.path("conf")
    os.rename(conf, server.path("away"))
    before = digest(server.path("away"), server.path("spool"))
    for tool in STORE_TOOLS:
        mark = server.log_mark()
        done = run(server, tool)
        assert done.returncode in (1, 66, 75), (tool, done)
        assert re.search(f"{conf}: No such file|System I/O error|can't open database|unable to archive", done.stderr), \
            (tool, done)
        if tool[0] != "cyr_dbtool":
            server.wait_log(f"{conf}.*No such file or directory", mark)
        assert not os.path.exists(conf), tool
    assert digest(server.path("away"), server.path("spool")) == before
    with pytest.raises(StartFailed) as failed:
        server.start(timeout=10, write=False)
    assert "No such file or directory" in str(failed.value) and conf in str(failed.value)
    assert not os.path.exists(conf)
    os.rename(server.path("away"), conf)
    has_its_mail(server)


@needs_root
def test_unwritable_configdirectory(stopped):
    server = stopped
    server.allow_log("ERROR")
    conf = server.path("conf")
    give_away(conf)
    before = digest(conf, server.path("spool"))
    for tool in STORE_TOOLS:
        mark = server.log_mark()
        done = run(server, tool)
        assert done.returncode in (1, 66, 75), (tool, done)
        assert done.stderr, (tool, done)
        assert "Invalid mailbox" not in done.stderr and "does not exist" not in done.stderr, (tool, done)
        server.wait_log(f"{conf}.*: Permission denied", mark)
    assert digest(conf, server.path("spool")) == before
    mark = server.log_mark()
    server.start()  # a job that ends with 75 holds nobody up, as in 3.6.1
    server.wait_log("ctl_cyrusdb.*the store can't be put in order", mark)
    refuse_work(server)
    server.stop()
    assert digest(conf, server.path("spool")) == before
    give_back(server.account, conf)
    has_its_mail(server)


@needs_root
def test_configdirectory_becomes_unwritable(stopped):
    """While the servers run: sessions are told, and all is well when it is mended."""
    server = stopped
    server.allow_log("ERROR")
    server.start()
    conf = server.path("conf")
    with server.imap("alice") as selected, server.imap("alice") as imap, server.pop3("alice") as pop, server.lmtp() as lmtp:
        selected.ok("SELECT INBOX")
        give_away(conf)
        selected.sendline("a1 NOOP")
        assert selected.readline() == b"* BYE Fatal error: System I/O error"
        for command in ("SELECT INBOX", "STATUS INBOX (MESSAGES)", "CREATE Other"):
            assert imap.no(command).text == "System I/O error"
        imap.ok("NOOP")
        pop.err("RETR 1")
        pop.ok("DELE 1")
        pop.err("QUIT")
        assert lmtp.deliver(MESSAGE, ["alice"]) == [(451, ["4.3.0 System I/O error"])]
        refuse_work(server)
        give_back(server.account, conf)
        imap.ok("SELECT INBOX")
        assert imap.ok("SEARCH SUBJECT kept").find("* SEARCH 1")
        assert lmtp.deliver(MESSAGE.replace(b"kept", b"surely"), ["alice"])[0][0] == 250
        imap.ok("NOOP")
        assert imap.ok("SEARCH SUBJECT surely").find("* SEARCH 2")


def test_missing_partition(stopped):
    """Nothing is taken for gone, nothing is removed, every mailbox is there when the partition is."""
    server = stopped
    server.allow_log("ERROR")
    os.rename(server.path("spool"), server.path("away"))
    before = digest(server.path("away"))
    for tool in (("reconstruct", "user/alice"), ("mbexamine", "user/alice"), ("quota", "-f"), ("ipurge", "-d", "0", "-f"),
                 ("cyr_expire", "-E", "1", "-X", "0", "-D", "0"), ("ctl_conversationsdb", "-R", "-r"),
                 ("unexpunge", "-l", "user/alice"), ("ctl_cyrusdb", "-r")):
        mark = server.log_mark()
        done = run(server, tool)
        assert done.returncode in ((0,) if tool[0] == "ctl_cyrusdb" else (1, 65, 66, 74, 75)), (tool, done)
        if tool[0] != "ctl_cyrusdb":
            server.wait_log(f"{server.path('spool')}.*No such file or directory", mark)
    server.start()
    refuse_work(server, create=False)
    server.stop()
    assert digest(server.path("away")) == before
    shutil.rmtree(server.path("spool"), ignore_errors=True)
    os.rename(server.path("away"), server.path("spool"))
    has_its_mail(server)

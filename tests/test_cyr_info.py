# SPDX-License-Identifier: BSD-3-Clause
"""cyr_info and cyr_buildinfo (handbook 05 §3.7, §3.8)."""

import json
import os
import subprocess

import pytest

DEBIAN = "/usr/lib/cyrus/bin"
needs_debian = pytest.mark.skipif(not os.access(f"{DEBIAN}/cyr_info", os.X_OK),
                                  reason="apt-get install cyrus-common")


@pytest.fixture
def server(factory):
    return factory(services=())


def info(server, *args, **kwargs):
    return server.run("cyr_info", *args, **kwargs).stdout


def pairs(text):
    return {line.partition(":")[0]: line.partition(":")[2] for line in text.splitlines()}


def debian_info(server, *args):
    return subprocess.run([f"{DEBIAN}/cyr_info", "-C", server.imapd_conf, *args], text=True,
                          capture_output=True, check=True, env=server.env,
                          **server.account.popen_args()).stdout


OWN = {"disabled_user_delivery", "durability", "expire_replica_wait", "expunge_tombstones", "imap_progress_interval", "journal_", "log_file",
       "master_ready_file", "master_stop_timeout", "message_verify", "quota_enforce", "quota_report", "rename_subscriptions", "sync_accept", "sync_certificate",
       "sync_lease_timeout", "sync_password_file", "sync_socket_users", "sync_transport", "sync_wait_ms"}


@needs_debian
@pytest.mark.parametrize("args", [("conf-default",), ("conf-all",), ("-n", "imap", "conf")])
def test_as_debian(server, args):
    """Every option of 3.6.1 is known, with the same value."""
    server.conf.update({"autocreate_quota": "0x20", "imap_conversations": "no",
                        "archive_after": "1d3h", "virtdomains": "yes",
                        "event_groups": "mailbox  message", "allowapop": "off",
                        "metapartition-default": "/x", "zork": "Zork"})
    server.write_conf()
    ours, theirs = pairs(info(server, *args)), pairs(debian_info(server, *args))
    own = {name for name in ours if name not in theirs}
    assert {name for name in own if not any(name.startswith(o) for o in OWN)} == set()
    # Weak spots of 3.6.1: alias words as if they were set as well, (null) for durations that are
    # not set, and a default overwritten by the file.
    differ = {name for name in theirs
              if ours.get(name) != theirs[name] and theirs[name] != " (null)"}
    differ -= {"sieve_extensions"} | ({"virtdomains"} if args == ("conf-default",) else set())
    assert differ == set(), {name: (ours.get(name), theirs[name]) for name in differ}


def test_conf(server):
    server.conf = {"configdirectory": server.path("conf"), "partition-default": "/p",
                   "admins": "boss", "imap_admins": "other", "umask": "027"}
    assert info(server, "conf") == (
        f"admins: boss\nconfigdirectory: {server.path('conf')}\numask: 027\n"
        "imap_admins: other\npartition-default: /p\n")
    assert "admins: other\n" in info(server, "-n", "imap", "conf")


def test_versions(server):
    text = info(server, "-s", "3.5", "conf-default")
    assert "(3.6.0) acl_admin_implies_write: no\n" in text
    assert "\nadmins: \n" in text
    assert "(3.0.0) altnamespace" in info(server, "-s", "cyrus-imapd-2.5.0", "conf-default")


def test_lint(server):
    server.conf.update({"zork": 1, "imap_admins": "a", "sync1_admins": "b", "xlist-drafts": "D",
                        "metapartition-default": "/m", "metapartition-none": "/m",
                        "metadir-index-default": "/m", "sync_log_channels": "\"\" ch",
                        "ch_sync_host": "h", "other_sync_host": "h", "autocreatequota": 5,
                        "default_searchpartition": "x", "t1searchpartition-default": "x"})
    server.add_service("imap", "/bin/true")
    server.write_conf()
    done = server.run("cyr_info", "-M", server.cyrus_conf, "conf-lint")
    assert sorted(done.stdout.splitlines()) == sorted([
        "zork: 1", "sync1_admins: b", "metapartition-none: /m", "other_sync_host: h",
        "default_searchpartition: x"])


def test_unsupported(server):
    server.conf = {"configdirectory": server.path("conf"), "partition-default": "/p",
                   "admins": "boss", "allownewnews": "yes"}
    assert info(server, "conf-unsupported") == "allownewnews: yes\n"


def test_version_and_usage(server):
    assert info(server, "version", conf=False).startswith("cyrus-imapd 3.6.1")
    for args in ((), ("zork",), ("-q", "conf"), ("-s", "x", "conf"), ("conf", "conf")):
        done = server.run("cyr_info", *args, check=False)
        assert done.returncode == 255 and "Usage: cyr_info" in done.stderr
    server.conf["conversations"] = "maybe"
    server.write_conf()
    done = server.run("cyr_info", "conf", check=False)
    assert done.returncode == 78
    assert done.stderr.startswith("fatal error: non-switch value for conversations in line ")


def test_proc(server):
    assert info(server, "proc") == ""
    pid = os.getpid()
    path = server.path("conf", "proc", str(pid))
    with open(path, "w", encoding="ascii") as f:
        f.write("imap\tlocalhost [127.0.0.1]\talice\tuser.alice\tIdle\n")
    assert info(server, "proc") == f"{pid} imap localhost [127.0.0.1] alice user.alice Idle\n"
    with open(path, "w", encoding="ascii") as f:
        f.write("imap\tlocalhost [127.0.0.1]\t\t\t\n")
    assert info(server, "proc") == f"{pid} imap localhost [127.0.0.1]   \n"


def test_buildinfo(server):
    pretty = json.loads(server.run("cyr_buildinfo").stdout)
    assert json.loads(server.run("cyr_buildinfo", "dense").stdout) == pretty
    assert list(pretty) == ["component", "dependency", "database", "search", "hardware"]
    assert pretty["component"]["replication"] is True and pretty["component"]["httpd"] is False
    flat = server.run("cyr_buildinfo", "flat").stdout.splitlines()
    assert "component.replication=true" in flat
    assert server.run("cyr_buildinfo", "zork", check=False).returncode == 255
    if os.access(f"{DEBIAN}/cyr_buildinfo", os.X_OK):
        theirs = json.loads(subprocess.run([f"{DEBIAN}/cyr_buildinfo"], capture_output=True,
                                           check=True).stdout)
        for group in ("component", "dependency"):
            assert set(pretty[group]) == set(theirs[group])

# SPDX-License-Identifier: BSD-3-Clause
"""Eight sessions, with a process of the server each (and one for their deliveries), change the mailboxes of one user and his neighbour
at once; whatever they did, usage is what a recount gives: ours, that of 3.6.1, and one over IMAP.

CYL_QUOTA_STRESS_SECONDS  how long (default 6); CYL_QUOTA_STRESS_SEED
"""

import os
import re

import pytest

from cyltest import DebianPrograms, quota_load
from cyltest.store import BIN

SECONDS = float(os.environ.get("CYL_QUOTA_STRESS_SECONDS") or 6)
SEED = int(os.environ.get("CYL_QUOTA_STRESS_SEED") or 1)
SESSIONS = 8
CONF = {"unixhierarchysep": False, "altnamespace": False, "conversations": True, "conversations_db": "twoskip", "imapidlepoll": 1,
        "conversations_max_guidinfolder": 100000, "conversations_max_guidexists": 100000, "conversations_max_guidrecords": 1000000,
        "delete_mode": "delayed", "duplicatesuppression": False}
USED = re.compile(r".*(usage was|quota root).*")


def roots(admin):
    found = {}
    for name in ("user.alice", *(f"user.alice.{folder}" for folder in quota_load.FOLDERS), "user.bob"):
        response = admin.cmd(f"GETQUOTA {name} (RAW)")
        if response.status == "OK":
            words = response.find("* QUOTA")[0].decode().partition("(")[2].rstrip(")").split()
            found[name] = {words[i]: int(words[i + 1]) for i in range(0, len(words), 3)}
    return found


def mailboxes(admin, user):
    lines = admin.ok(f'LIST "" user.{user}*').find("* LIST")
    return [line.decode().split()[-1] for line in lines if b"\\Noselect" not in line and b"\\NonExistent" not in line]


def assert_usage_is_what_imap_shows(server, aware):
    with server.imap("admin") as admin:
        for user in ("alice", "bob"):
            names = mailboxes(admin, user)
            for name in names:
                admin.ok(f"SETACL {name} admin lrs")
            sums, alive = quota_load.recount(admin, names)
            for root, told in roots(admin).items():
                if not re.fullmatch(rf"user\.{user}(\..*)?", root):
                    continue
                below = [name for name in names if (name + ".").startswith(root + ".")
                         and not any((name + ".").startswith(other + ".") and len(other) > len(root) for other in roots(admin))]
                octets, messages = (sum(sums[name][i] for name in below) for i in range(2))
                want = {"X-RAW-STORAGE": octets // 1024, "X-RAW-MESSAGE": messages, "STORAGE": octets // 1024, "MESSAGE": messages}
                if aware:
                    want.update({"STORAGE": sum(alive.values()) // 1024, "MESSAGE": len(alive)})
                assert {key: told[key] for key in told if key in want} == {key: want[key] for key in told if key in want}, root


def assert_nothing_drifted(run, tool):
    done = run(tool, "-f", "-n")
    assert not USED.findall(done.stdout + done.stderr), done.stdout + done.stderr


def work_until_all_was_done(server):
    """How often each operation had success; a busy machine may need more rounds until the rare ones had."""
    done = dict.fromkeys(quota_load.Session.OPS, 0)
    for more in range(5):
        failures, answers = quota_load.run(server, SESSIONS, SECONDS, SEED + more)
        assert not failures, "\n".join(failures[:10])
        for (op, status), count in answers.items():
            done[op] += count if status in ("OK", 250, 0) else 0
        if all(count for name, count in done.items() if name not in ("fix", "undelete")):
            return done
    raise AssertionError(f"some never had success: {done}")


@pytest.mark.parametrize("aware", [False, True], ids=["raw", "conversations"])
def test_nothing_drifts(factory, aware):
    server = factory(services=("imap", "lmtp"))
    server.conf.update(CONF, quota_use_conversations=aware)
    server.start()
    server.create_user("alice", *quota_load.FOLDERS)
    server.create_user("bob", "a", "b")
    with server.imap("admin") as admin:
        for name in ("user.alice", "user.bob"):
            admin.ok(f"SETQUOTA {name} (STORAGE 100000 MESSAGE 100000)")
        for name in mailboxes(admin, "alice"):
            admin.ok(f"SETACL {name} bob lrswipkxted")
            admin.ok(f"SETACL {name} anyone p")
    done = work_until_all_was_done(server)
    print(done)
    assert_usage_is_what_imap_shows(server, aware)
    server.stop()
    assert_nothing_drifted(server.run, "quota")
    assert not server.run("ctl_conversationsdb", "-A", "-r").stdout
    if DebianPrograms().has("quota"):
        assert_nothing_drifted(server.run, BIN + "quota")

# SPDX-License-Identifier: BSD-3-Clause
"""Raw and conversation-aware usage under load: at every halt both equal a recount (wish W006)."""

import threading

from cyltest.differences import message

CONF = {"unixhierarchysep": False, "altnamespace": False, "quota_use_conversations": True,
        "conversations_max_guidinfolder": 1000}
FOLDERS = ("a", "b", "c", "d")


def sized(n, size):
    text = message(n)
    return text + b"x" * (size - len(text) - 2) + b"\r\n"


def usage(imap):
    (line,) = imap.ok("GETQUOTAROOT INBOX (RAW)").find("* QUOTA INBOX")
    words = line.decode().partition("(")[2].rstrip(")").split()
    return {words[i]: int(words[i + 1]) for i in range(0, len(words), 3)}


def recount(imap):
    """From what FETCH tells of all messages."""
    copies = []
    for folder in ("INBOX", *(f"INBOX.{f}" for f in FOLDERS)):
        imap.ok(f"EXAMINE {folder}")
        for line in imap.ok("UID FETCH 1:* (RFC822.SIZE EMAILID)").find("* "):
            words = line.decode().replace("(", " ").replace(")", " ").split()
            if "EMAILID" in words:
                copies.append((words[words.index("EMAILID") + 1], int(words[words.index("RFC822.SIZE") + 1])))
    imap.ok("UNSELECT")
    distinct = dict(copies)
    return {"STORAGE": sum(distinct.values()) // 1024, "MESSAGE": len(distinct),
            "X-RAW-STORAGE": sum(size for _, size in copies) // 1024, "X-RAW-MESSAGE": len(copies)}


def test_two_copies_of_one_message(factory):
    server = factory(services=("imap",))
    server.conf.update(CONF)
    server.start()
    server.create_user("alice", *FOLDERS)
    with server.imap("admin") as admin:
        admin.ok("SETQUOTA user.alice (STORAGE 100000 MESSAGE 10000)")
    with server.imap("alice") as imap:
        imap.append("INBOX", sized(1, 10 * 1024))
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1 INBOX.a")
        assert usage(imap) == {"STORAGE": 10, "MESSAGE": 1, "X-RAW-STORAGE": 20, "X-RAW-MESSAGE": 2}


def worker(server, number, round_, failures):
    """A session with a folder of its own, and messages that others have too."""
    try:
        own = f"INBOX.{FOLDERS[number]}"
        with server.imap("alice") as imap:
            for n in range(6):
                imap.append(own, sized(10 * round_ + n % 3, 2000 + 700 * (n % 3)))
                imap.ok(f"SELECT {own}")
                imap.ok("COPY 1 INBOX")
                if n % 2:
                    imap.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
                    imap.ok("EXPUNGE")
                if n == 4:
                    imap.ok(f"MOVE 1 INBOX.{FOLDERS[(number + 1) % len(FOLDERS)]}")
            imap.logout()
    except Exception as error:  # told by the test
        failures.append(f"{number}: {error!r}")


def test_under_load(factory):
    server = factory(services=("imap",))
    server.conf.update(CONF)
    server.start()
    server.create_user("alice", *FOLDERS)
    with server.imap("admin") as admin:
        admin.ok("SETQUOTA user.alice (STORAGE 100000 MESSAGE 10000)")
    with server.imap("alice") as imap:
        for round_ in range(4):
            failures, looks = [], []
            threads = [threading.Thread(target=worker, args=(server, n, round_, failures))
                       for n in range(4)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                looks.append(usage(imap))
            for thread in threads:
                thread.join()
            assert not failures, failures
            assert looks and all(u["X-RAW-MESSAGE"] >= u["MESSAGE"] and u["X-RAW-STORAGE"] >= u["STORAGE"]
                                 for u in looks)
            assert usage(imap) == recount(imap)

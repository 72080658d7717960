# SPDX-License-Identifier: BSD-3-Clause
"""What clients do while a server is recorded. Each function is given a Recording that has not begun."""

import threading

from recording import message

ALL_TWOSKIP = {"conversations_db": "twoskip", "quota_db": "twoskip", "subscription_db": "twoskip"}


def begin(r, env=None, fresh=False, **conf):
    """fresh: from an empty directory on. env: for the recorded processes."""
    r.server.conf.update(conf)
    if not fresh:
        r.fill()
    r.start(env)


def delivery(r, env=None):
    begin(r, env)
    deliveries = [(100, "alice"), (100, "alice", "bob"), (5000, "bob"), (9000, "bob", "alice")]
    with r.server.lmtp() as lmtp:
        for n, (size, *users) in enumerate(deliveries, 10):
            replies = r.step(lmtp.deliver, message(n, size), users)
            assert all(code == 250 for code, _ in replies)
            for user in users:
                assert r.stored(f"user.{user}", message(n, size))


def imap(r, env=None):
    begin(r, env, **ALL_TWOSKIP)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX", message(20), "\\Flagged $label")
        r.step(imap.append, "INBOX", message(21, 6000), "\\Seen")
        assert r.stored("user.alice", message(21, 6000))
        r.step(imap.ok, "SELECT INBOX")
        r.step(imap.ok, "STORE 1:* +FLAGS (\\Answered $other)")
        r.step(imap.ok, "STORE 2 FLAGS (\\Deleted)")
        r.step(imap.ok, "COPY 1:2 INBOX.Work")
        assert len(r.messages("user.alice.Work")) == 2
        r.step(imap.ok, "EXPUNGE")
        r.step(imap.ok, "MOVE 1 INBOX.Work.Deep")
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, 'SETMETADATA INBOX.Work (/private/comment "mine")')
        r.step(imap.ok, 'SETMETADATA INBOX (/shared/comment "ours")')
        r.step(imap.ok, "SETACL INBOX.Work bob lrs")
    with r.server.imap("bob") as imap:
        r.step(imap.ok, "SELECT user.alice.Work")
        r.step(imap.ok, "STORE 1 +FLAGS.SILENT (\\Seen)")
        r.step(imap.ok, "CLOSE")


def first_start_and_create(r, env=None):
    """From an empty directory on: nothing has ever been durable."""
    begin(r, env, fresh=True, autocreate_post=True, autocreate_inbox_folders="Sent | Trash",
          autocreate_quota="5000")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "CREATE user.alice")
        r.step(imap.ok, "CREATE user.alice.a")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "CREATE user.alice.b.c.d")
        r.step(imap.ok, "SETQUOTA user.alice (STORAGE 1000 MESSAGE 100)")
        r.step(imap.ok, "CREATE shared")
        r.step(imap.ok, "SETACL shared anyone lrsip")
    with r.server.lmtp() as lmtp:
        r.step(lmtp.deliver, message(30), "alice")
        replies = r.step(lmtp.deliver, message(31), "bob", parts=True)
        assert replies[0][0] == 250
        assert r.stored("user.bob", message(31))
        r.step(lmtp.deliver, message(32, 4000), "bob")


def rename_and_delete(r, env=None):
    begin(r, env, delete_mode="delayed", allowusermoves=True)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX.Work", message(40, 3000))
        r.step(imap.append, "INBOX.Work.Deep", message(41))
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        assert r.stored("user.alice.Play", message(40, 3000))
        r.step(imap.ok, "RENAME INBOX INBOX.Old")
        r.step(imap.append, "INBOX", message(42))
        r.step(imap.ok, "RENAME INBOX.Play.Deep INBOX.Work")
        r.step(imap.ok, "CREATE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Old")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "RENAME user.bob user.carol")
        assert r.stored("user.carol", message(1))
        r.step(imap.ok, "SETACL user.carol admin lrswipkxtecda")
        r.step(imap.ok, "DELETE user.carol")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "CREATE user.carol")


def subscriptions(r, env=None):
    """The mailbox, the subscription and its history change together; a subscription may move with its mailbox."""
    begin(r, env, delete_mode="delayed", delete_unsubscribe=True, rename_subscriptions=True)
    with r.server.imap("alice") as imap:
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, "SUBSCRIBE INBOX.Work.Deep")
        r.step(imap.ok, "UNSUBSCRIBE INBOX.Work")
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        assert "user.alice.Play.Deep" in r.subscriptions("alice"), r.state
        r.step(imap.ok, "RENAME INBOX.Play.Deep INBOX.Work")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "RENAME INBOX.Play INBOX.Game")
        r.step(imap.ok, "DELETE INBOX.Game")
        assert r.subscriptions("alice") == ["user.alice.Work"]


def delete_at_once(r, env=None):
    begin(r, env, delete_mode="immediate", expunge_mode="immediate", allowusermoves=True)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX", message(50, 3000))
        r.step(imap.ok, "SELECT INBOX")
        r.step(imap.ok, "COPY 1:* INBOX.Work")
        r.step(imap.ok, "STORE 1 +FLAGS (\\Deleted)")
        r.step(imap.ok, "EXPUNGE")
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        r.step(imap.ok, "DELETE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Play")
        r.step(imap.ok, "CREATE INBOX.Play")
        r.step(imap.append, "INBOX.Play", message(51))
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "SETACL user.bob admin lrswipkxtecda")
        r.step(imap.ok, "DELETE user.bob")
        r.step(imap.ok, "CREATE user.bob")


def many_windows(r, env=None):
    """A checkpoint behind every command: each one is the first that changes mailboxes.db again."""
    begin(r, env, journal_checkpoint_size="1")
    with r.server.imap("admin") as imap:
        for n in range(8):
            r.step(imap.ok, f"CREATE user.alice.n{n}")
        r.step(imap.ok, "RENAME user.alice.n1 user.alice.m1")
        r.step(imap.ok, "SETACL user.alice.n2 admin lrswipkxtecda")
        r.step(imap.ok, "DELETE user.alice.n2")


def database_alone(r, env=None):
    """The commit protocol of twoskip itself, without the journal."""
    begin(r, env)
    db = r.server.path("conf", "alone.db")

    def dbtool(action, *args):
        r.server.run("cyr_dbtool", "-n", db, "twoskip", action, *args)

    for n in range(12):
        r.step(dbtool, "set", f"key{n * 7 % 12}", f"value {n} " * (n * 20 + 1))
    for n in (3, 5, 11):
        r.step(dbtool, "delete", f"key{n}")
    r.step(dbtool, "set", "key3", "again")
    assert "record alone.db key3 = again" in r.state


def many_at_once(r, env=None):
    """Deliveries that share their syncs: each one that was answered is there."""
    begin(r, env)
    users = ["alice", "bob"]
    numbers = iter(range(100, 200))

    def work(seed):
        with r.server.lmtp() as lmtp:
            for n in range(5):
                size = 3000 if (n + seed) % 3 == 0 else 200
                number = next(numbers)
                to = users[:1] if n % 2 else users[(n + seed) % 2:]
                r.deliver(lmtp, number, message(number, size), to)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.delivered() >= 20

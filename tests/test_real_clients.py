# SPDX-License-Identifier: BSD-3-Clause
"""Clients that people use: mutt, curl, mbsync, offlineimap, smtplib. Each reads, files and changes mail; nothing gets lost on the way."""

import collections
import mailbox
import os
import shutil
import smtplib
import subprocess

import pytest

from cyltest.clients import Literal

MANY = int(os.environ.get("CYL_CLIENTS_MANY") or 1500)  # messages of the two-way clients


def message(n):
    return (f"From: Alice <alice@example.com>\r\nTo: bob@example.com\r\nSubject: message {n}\r\n"
            f"Message-ID: <m{n}@example.com>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\n"
            f"body {n}\r\n").encode()


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program.upper()} NOT TESTED: it is not installed (see tools/runtests)")


def run(argv, home, **kwargs):
    done = subprocess.run(argv, env={"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm", "LC_ALL": "C"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=home, **kwargs)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def mail_server(factory):
    server = factory(services=("imap", "lmtp")).start()
    server.create_user("alice", "Work")
    return server


def fill(server, name, count):
    with server.imap("alice") as imap:
        for first in range(0, count, 500):
            several = [part for n in range(first, min(first + 500, count)) for part in (" ", Literal(message(n)))]
            imap.ok([f"APPEND {name}", *several])


def subjects(server, name):
    with server.imap("alice") as imap:
        imap.ok(f"EXAMINE {name}")
        if imap.ok(f"STATUS {name} (MESSAGES)").find(f"* STATUS {name} (MESSAGES 0)"):
            return {}
        found = {}
        for line in imap.ok("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").untagged:
            subject = line.split(b"Subject: ")[1].split(b"\r\n")[0].decode()
            assert subject not in found
            found[subject] = line.split(b"FLAGS (")[1].split(b")")[0].decode().replace("\\Recent", "").strip()
        return found


def test_smtplib_over_lmtp(mail_server):
    """LMTP's own answer for each recipient, dots at the start of lines, pipelining or not."""
    with mail_server.imap("alice") as imap:
        imap.ok("SETACL Work anyone p")
    text = b"Subject: dots\r\n\r\n.\r\n..two\r\n.three\r\n"
    with smtplib.LMTP("127.0.0.1", mail_server.ports["lmtp"], local_hostname="client.test") as lmtp:
        lmtp.ehlo_or_helo_if_needed()
        assert lmtp.has_extn("pipelining")
        refused = lmtp.sendmail("a@example.com", ["alice", "nosuch"], text)
        assert refused.keys() == {"nosuch"} and refused["nosuch"][0] == 550
        assert lmtp.sendmail("a@example.com", ["alice+Work"], text) == {}
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            lmtp.sendmail("a@example.com", ["nosuch"], text)
    for name in ("INBOX", "Work"):
        with mail_server.imap("alice") as imap:
            imap.ok(f"EXAMINE {name}")
            assert b"\r\n\r\n.\r\n..two\r\n.three\r\n" in imap.ok("FETCH 1:* BODY.PEEK[]").untagged[0]
    mail_server.restart()
    assert "dots" in subjects(mail_server, "Work")


def test_curl(mail_server, tmp_path):
    need("curl")
    fill(mail_server, "INBOX", 3)
    (tmp_path / "new").write_bytes(message(77))
    base = f"imap://127.0.0.1:{mail_server.ports['imap']}"

    def curl(path, *args):
        return run(["curl", "-sS", "-u", "alice:alice.pw", base + path, *args], tmp_path)
    assert '* LIST (\\HasNoChildren) "/" Work' in curl("/")
    assert "Subject: message 1" in curl("/INBOX;MAILINDEX=2")
    assert curl("/INBOX;UID=3;SECTION=TEXT").strip() == "body 2"
    assert curl("/INBOX?SUBJECT%20%22message%201%22").strip() == "* SEARCH 2"
    curl("/Work", "-T", str(tmp_path / "new"))
    curl("/INBOX", "-X", "STORE 1 +FLAGS \\Flagged")
    assert subjects(mail_server, "Work").keys() == {"message 77"}
    assert "\\Flagged" in subjects(mail_server, "INBOX")["message 0"]


def test_mutt(mail_server, tmp_path):
    """Reads, saves a message into another mailbox, flags and deletes."""
    need("mutt")
    fill(mail_server, "INBOX", 5)
    url = f"imap://alice@127.0.0.1:{mail_server.ports['imap']}"
    settings = {"imap_pass": "alice.pw", "ssl_starttls": "no", "ssl_force_tls": "no", "folder": f"{url}/",
                "spoolfile": f"{url}/INBOX", "header_cache": "", "confirmappend": "no", "delete": "yes", "move": "no",
                "mark_old": "no", "sleep_time": "0", "wait_key": "no", "imap_keepalive": "60", "read_inc": "0"}
    (tmp_path / "muttrc").write_text(
        "".join(f"set {name}={chr(34)}{value}{chr(34)}\n" for name, value in settings.items())
        + f'push "<search>message 1<enter><save-message><kill-line>{url}/Work<enter>'
        + '<search>message 3<enter><flag-message><search>message 4<enter><delete-message>'
        + '<search>message 2<enter><display-message><exit><sync-mailbox><quit>"\n')
    run(["script", "-qec", f"mutt -n -F {tmp_path}/muttrc", "/dev/null"], tmp_path)
    assert subjects(mail_server, "Work").keys() == {"message 1"}
    inbox = subjects(mail_server, "INBOX")
    assert inbox.keys() == {"message 0", "message 2", "message 3"}
    assert inbox["message 2"] == "\\Seen" and "\\Flagged" in inbox["message 3"]


# ---- both ways: what happens to the numbered messages of INBOX on each side ----

def near(tmp_path, name):
    """A folder of the client's side, and its subjects."""
    box = mailbox.Maildir(tmp_path / "mail" / name, create=False)
    return box, collections.Counter(m["Subject"] for m in box)


def change_near(box, count, more):
    """Of `count` messages every third is read, and of every seven one goes; `more` new ones."""
    for key, m in list(box.items()):
        n = int(m["Subject"].split()[1])
        if n % 3 == 0:
            m.set_subdir("cur")
            m.add_flag("S")
            box[key] = m
        if n % 7 == 1:
            box.remove(key)
    for n in range(count, count + more):
        box.add(message(n).replace(b"\r\n", b"\n"))


def change_far(imap):
    imap.ok("SELECT INBOX")
    imap.ok(r"STORE 1:20 +FLAGS (\Flagged)")
    imap.ok(r"STORE 200:240 +FLAGS (\Deleted)")
    imap.ok("EXPUNGE")


def gone_of(count):
    """The numbers that one of the sides has removed."""
    return {n for n in range(count) if n % 7 == 1} | set(range(199, 240))


MBSYNCRC = """FSync no

IMAPStore far
Host 127.0.0.1
Port {port}
User alice
Pass alice.pw
SSLType None
AuthMechs LOGIN

MaildirStore near
Path {home}/mail/
Inbox {home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
"""


def test_mbsync_both_ways(mail_server, tmp_path):
    """Many messages down; then new, flagged and deleted ones on both sides; the sides are equal in the end."""
    need("mbsync")
    fill(mail_server, "INBOX", MANY)
    (tmp_path / "mail").mkdir()
    (tmp_path / "rc").write_text(MBSYNCRC.format(port=mail_server.ports["imap"], home=tmp_path))

    def sync():
        run(["mbsync", "-c", str(tmp_path / "rc"), "all"], tmp_path)

    sync()
    box, found = near(tmp_path, "INBOX")
    assert found == collections.Counter(f"message {n}" for n in range(MANY))

    change_near(box, MANY, 50)
    with mail_server.imap("alice") as imap:
        change_far(imap)
        for n in range(MANY + 50, MANY + 100):
            imap.append("Work", message(n))
    sync()
    sync()
    gone = gone_of(MANY)
    expected = {f"message {n}" for n in range(MANY + 50)} - {f"message {n}" for n in gone}
    far = subjects(mail_server, "INBOX")
    assert far.keys() == expected
    assert near(tmp_path, "INBOX")[1] == collections.Counter(expected)
    assert near(tmp_path, "Work")[1] == collections.Counter(f"message {n}" for n in range(MANY + 50, MANY + 100))
    assert all(("\\Seen" in far[f"message {n}"]) == (n % 3 == 0) for n in range(MANY) if n not in gone)
    assert all("\\Flagged" in far[f"message {n}"] for n in range(20) if n not in gone)


OFFLINEIMAPRC = """[general]
accounts = both
metadata = {home}/state
ui = quiet

[Account both]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {home}/mail
sep = .

[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = alice
remotepass = alice.pw
auth_mechanisms = LOGIN
ssl = no
starttls = no
"""


def test_offlineimap_both_ways(mail_server, tmp_path):
    """Both sides get, flag, delete and make folders; the sides are equal in the end."""
    need("offlineimap")
    fill(mail_server, "INBOX", 300)
    (tmp_path / "mail").mkdir(mode=0o700)
    (tmp_path / "rc").write_text(OFFLINEIMAPRC.format(port=mail_server.ports["imap"], home=tmp_path))

    def sync():
        run(["offlineimap", "-c", str(tmp_path / "rc"), "-o"], tmp_path)

    sync()
    box, found = near(tmp_path, "INBOX")
    assert found == collections.Counter(f"message {n}" for n in range(300))
    change_near(box, 300, 10)
    mailbox.Maildir(tmp_path / "mail" / "Made", create=True).add(message(400).replace(b"\r\n", b"\n"))
    with mail_server.imap("alice") as imap:
        change_far(imap)
        imap.append("Work", message(500))
    sync()
    sync()
    gone = gone_of(300)
    expected = {f"message {n}" for n in range(310) if n not in gone}
    far = subjects(mail_server, "INBOX")
    assert far.keys() == expected
    assert near(tmp_path, "INBOX")[1] == collections.Counter(expected)
    assert subjects(mail_server, "Made").keys() == {"message 400"} == near(tmp_path, "Made")[1].keys()
    assert near(tmp_path, "Work")[1].keys() == {"message 500"}
    assert all(("\\Seen" in far[f"message {n}"]) == (n % 3 == 0) for n in range(300) if n not in gone)
    assert all("\\Flagged" in far[f"message {n}"] for n in range(20) if n not in gone)

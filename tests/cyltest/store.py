# SPDX-License-Identifier: BSD-3-Clause
"""One set of directories that two servers open by turns, and all that clients see of it.

    debian, ours = servers_on_one_store(debian_factory, factory, conf)

makes a server of the packaged 3.6.1 and one of the build tree that share configdirectory, partitions
and users. Only one of them may run at a time.
"""

import re
import subprocess

BIN = "/usr/lib/cyrus/bin/"

# What FETCH tells of a message without changing it.
FETCH = ("(FLAGS UID DIGEST.SHA1 INTERNALDATE LASTUPDATED MODSEQ RFC822.SIZE "
         "ANNOTATION (/comment (value.priv value.shared)) PREVIEW RFC822.FILESIZE RFC822.SHA1 EMAILID CID THREADID "
         "SAVEDATE CREATEDMODSEQ BASECID FOLDER UIDVALIDITY ENVELOPE BODY BODYSTRUCTURE "
         "BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[])")
# Without MAILBOXID: with statuscache, 3.6.1 answers freed memory.
STATUS = ("(MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE CREATEDMODSEQ HIGHESTMODSEQ "
          "XCONVEXISTS XCONVUNSEEN XCONVMODSEQ)")


def servers_on_one_store(debian_factory, factory, conf, services=("imap", "lmtp")):
    """The two servers, not started. `conf` may name further partitions below the root as "@/name"."""
    debian = debian_factory("debian", services=services)
    for option, value in conf.items():
        if isinstance(value, str) and value.startswith("@/"):
            value = debian.path(value[2:])
            debian.account.mkdir(value)
        debian.conf[option] = value
    ours = factory("ours", services=services)
    log = ours.conf["log_file"]
    ours.conf = {**debian.conf, "log_file": log, "syslog_prefix": ours.name,
                 "lmtpsocket": ours.conf["lmtpsocket"]}
    return debian, ours


def names_in(untagged):
    """The mailbox names of LIST or LSUB lines, as they stand on the wire."""
    names = []
    for line in untagged:
        match = re.match(rb'\* (?:LIST|LSUB) \([^)]*\) (?:"."|NIL) ("(?:[^"\\]|\\.)*"|[^ ]+)', line)
        assert match, line
        if b"\\Noselect" not in line and b"\\NonExistent" not in line:
            names.append(match[1].decode("utf-8", "surrogateescape"))
    return names


def _is_ours_alone(line):
    """What one of the servers has and the other never told of."""
    return line.startswith(b'"/shared/vendor/cmu/cyrus-imapd/userrawquota"')


class Snapshot:
    """
    Questions and answers of one session after another: {(user, command): untagged lines}; what is asked of the
    selected mailbox has its name behind the command.
    """

    def __init__(self):
        self.answers = {}

    def ask(self, imap, user, command, of=None):
        reply = imap.cmd(command)
        lines = reply.untagged
        if command.startswith("GETMETADATA"):  # 3.6.1 answers in the order of a hash table
            lines = [part for line in sorted(lines) if line.endswith(b")")
                     for part in sorted(re.split(rb'[ (](?="/)', line[:-1]))]
        # 3.6.1 gives both values of an annotation in the order of what is set.
        lines = [re.sub(rb'value\.shared ("[^"]*"|NIL) value\.priv ("[^"]*"|NIL)', rb"value.priv \2 value.shared \1", line)
                 for line in lines]
        # RFC 8474 wants NIL; 3.6.1 says (NIL).
        lines = [line.replace(b"THREADID (NIL)", b"THREADID NIL") for line in lines
                 if not _is_ours_alone(line)]
        question = (user, command) if of is None else (user, command, of)
        self.answers[question] = [(reply.status + " " + reply.text).encode(errors="replace")
                                  if reply.status != "OK" else b"OK", *lines]
        return reply.untagged

    def mailbox(self, imap, user, name):
        for command in (f"STATUS {name} {STATUS}", f"GETACL {name}", f"MYRIGHTS {name}",
                        f"GETQUOTAROOT {name}",
                        f"GETMETADATA (DEPTH infinity) {name} (/private /shared)"):
            self.ask(imap, user, command)
        lines = self.ask(imap, user, f"EXAMINE {name}")
        if any(re.match(rb"\* [1-9][0-9]* EXISTS", line) for line in lines):
            for command in (f"FETCH 1:* {FETCH}", "SORT (ARRIVAL) US-ASCII ALL", "SORT (SUBJECT) US-ASCII ALL", "THREAD REFS US-ASCII ALL",
                            "SEARCH BODY body"):
                self.ask(imap, user, command, of=name)


def snapshot(server, users, admin="admin"):
    """What `users` see of all they can list, and the admin's view of the whole."""
    seen = Snapshot()
    for user in users:
        with server.imap(user) as imap:
            listed = names_in(seen.ask(imap, user, 'LIST "" *'))
            for command in ('LSUB "" *', 'LIST (SUBSCRIBED) "" *', "NAMESPACE", 'LIST "" * RETURN (SPECIAL-USE)'):
                seen.ask(imap, user, command)
            for name in listed:
                seen.mailbox(imap, user, name)
            imap.logout()
    with server.imap(admin) as imap:
        for name in names_in(seen.ask(imap, admin, 'LIST "" *')):
            for command in (f"GETACL {name}", f"GETQUOTAROOT {name}",
                            f"GETMETADATA (DEPTH infinity) {name} (/shared)"):
                seen.ask(imap, admin, command)
        seen.ask(imap, admin, 'GETMETADATA (DEPTH infinity) "" (/shared/comment /shared/admin)')
        imap.logout()
    return seen.answers


def _difference(want, got):
    """Where two answers part, with what stands around it; None: they are equal."""
    for a, b in zip(want, got):
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            return a[max(0, at - 100):at + 100], b[max(0, at - 100):at + 100]
    return None if len(want) == len(got) else (want[len(got):], got[len(want):])


def assert_alike(theirs, ours):
    """Names the questions that are answered otherwise, and where the answers part."""
    assert list(theirs) == list(ours), sorted(set(theirs) ^ set(ours))
    parts = {question: _difference(want, ours[question]) for question, want in theirs.items()}
    parts = {question: part for question, part in parts.items() if part}
    assert not parts, "\n".join(f"{question}\n   {a}\n   {b}" for question, (a, b) in parts.items())


def debian_tool(server, tool, *args, check=True):
    """One of the packaged tools on the configuration of `server`, as its account; CompletedProcess."""
    return server.run(BIN + tool, *args, check=check)


def records(path, backend="twoskip"):
    """{key: value} of a database file as the packaged cyr_dbtool shows it."""
    done = subprocess.run([BIN + "cyr_dbtool", path, backend, "show"], check=True, capture_output=True,
                          encoding="latin-1")
    return dict(line.split("\t", 1) for line in done.stdout.split("\n") if "\t" in line)


def copy_of(server, factory, name="copy", services=("imap", "lmtp"), **conf):
    """A server on a copy of the directories of `server`, which is at rest."""
    other = factory(name, services=services)
    kept = {option: other.conf[option] for option in ("log_file", "syslog_prefix", "lmtpsocket")
            if option in other.conf}
    for top in ("conf", "spool"):
        subprocess.run(["rm", "-rf", other.path(top)], check=True)
        subprocess.run(["cp", "-a", server.path(top), other.path(top)], check=True)
    moved = {option: value.replace(server.root, other.root) if isinstance(value, str) else value
             for option, value in server.conf.items()}
    moved.pop("log_file", None)
    other.conf = {**moved, **kept, **conf}
    other.write_conf()
    return other

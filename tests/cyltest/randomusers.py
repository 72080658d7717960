# SPDX-License-Identifier: BSD-3-Clause
"""Users with random contents, and random changes to them."""

from .syncdata import message

FOLDERS = ("Work", "Work.Old", "Sent", "Lists")
FLAGS = (r"\Seen", r"\Flagged", r"\Answered", "$Junk", "$Label1")


def make(server, rng, *users):
    for user in users:
        server.add_user(user)
        server.create_user(user, *sorted(rng.sample(FOLDERS, rng.randrange(len(FOLDERS) + 1))))
        change(server, rng, user, 6)


def change(server, rng, user, operations):
    """As many changes by the user himself; some find nothing to change."""
    with server.imap(user) as imap:
        for _ in range(operations):
            names = [line.split()[-1].decode() for line in imap.ok('LIST "" INBOX*').find("* LIST")]
            _one(imap, rng, rng.choice(names), rng.choice(names))
        imap.logout()


def _one(imap, rng, box, other):
    kind = rng.randrange(8)
    if kind < 3:
        imap.append(box, message(n := rng.randrange(1000), body=f"{n} " * rng.randrange(1, 200)), rng.choice(("", *FLAGS)))
    elif kind == 3:
        imap.ok(f"{rng.choice(('SUBSCRIBE', 'UNSUBSCRIBE'))} {box}")
    elif kind == 4:
        imap.ok(f'SETMETADATA {box} (/shared/comment "{rng.randrange(1000)}")')
    elif kind == 5:
        imap.cmd(f"RENAME {other} INBOX.R{rng.randrange(100)}")
    else:
        imap.ok(f"SELECT {box}")
        imap.cmd(f"STORE {rng.randrange(1, 4)} {rng.choice('+-')}FLAGS ({rng.choice((*FLAGS, chr(92) + 'Deleted'))})")
        imap.cmd(f"COPY 1:2 {other}")
        imap.ok("EXPUNGE")
        imap.ok("UNSELECT")

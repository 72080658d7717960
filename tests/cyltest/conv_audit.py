# SPDX-License-Identifier: BSD-3-Clause
"""What ctl_conversationsdb -A of the packaged 3.6.1 tells of a store, and which of it is no fault of the store.

Its recount finds two things other than its own servers leave them (doc/cyrus-3.6.1.md, "ctl_conversationsdb -A"). Exactly these
are known; unseen_in_copies() gives the true number for the second.
"""

import re
import struct
import subprocess
from collections import namedtuple

from .store import BIN, debian_tool

Difference = namedtuple("Difference", "kind key real temp")

LINE = re.compile(r'(REALONLY|TEMPONLY|REAL|TEMP): "([^"]*)" data "(.*)"$')
THREAD_ITEM = re.compile(r"\(([0-9a-f]{40} \d+) \d+\)")
STATUS = re.compile(r"0 \((\d+ \d+ \d+ \d+) (\d+)\)")
COPY = re.compile(rb"^G([0-9a-f]{40}):(\d+):(\d+)\t(.{25})\n", re.S | re.M)

DELETED, SEEN, DRAFT, EXPUNGED = 4, 16, 8, 1 << 31


def differences(text):
    """{user: [Difference]} of the output of -v -A; those that it calls OK have none."""
    found, pending, real = {}, [], None
    for line in text.splitlines():
        match = LINE.match(line)
        if match and match[1] == "REAL":
            real = match[3]
        elif match:
            kind, key, value = match.groups()
            pending.append(Difference(kind, key, value if kind == "REALONLY" else real, value if kind != "REALONLY" else None))
            real = None
        verdict = re.match(r"(\S+) is (OK|BROKEN \((\d+) differences\))$", line)
        if verdict:
            assert int(verdict[3] or 0) == len(pending), line
            found[verdict[1]], pending = pending, []
    return found


def dates_alone(difference):
    """Two B records that differ only in the dates of messages, and so in their order."""
    if difference.kind != "TEMP" or difference.key[0] != "B":
        return False
    sides = [(THREAD_ITEM.sub("", value).replace(" ", ""), sorted(THREAD_ITEM.findall(value)))
             for value in (difference.real, difference.temp)]
    return sides[0] == sides[1] and len(sides[0][1]) > 0


def unseen_alone(difference):
    """Two F records of which the recounted one has fewer unseen messages."""
    if difference.kind != "TEMP" or difference.key[0] != "F":
        return False
    real, temp = STATUS.fullmatch(difference.real), STATUS.fullmatch(difference.temp)
    return bool(real and temp and real[1] == temp[1] and int(real[2]) > int(temp[2]))


def is_known(difference):
    return dates_alone(difference) or unseen_alone(difference)


def database(server, user):
    """Where the conversations of a user ("user.alice") are."""
    return debian_tool(server, "mbpath", "-U", user).stdout.strip() + "/conversations.db"


def unseen_in_copies(path):
    """[(key of an F record, its EMAILUNSEEN, what the copies of the messages say)] of a database without a Trash."""
    shown = subprocess.run([BIN + "cyr_dbtool", path, "twoskip", "show"], check=True, capture_output=True).stdout
    unseen, folders = set(), {}
    for guid, folder, _, value in COPY.findall(shown):
        system, internal = struct.unpack(">II", value[9:17])
        if system & DELETED or internal & EXPUNGED:
            continue
        folders.setdefault(int(folder), set()).add(guid)
        if not system & (SEEN | DRAFT):
            unseen.add(guid)
    ids = re.search(rb"^\$FOLDER_IDS\t\((.*)\)$", shown, re.M)
    numbers = {name.decode(): number for number, name in enumerate(ids[1].split() if ids else ())}
    return [(key.decode(), int(count), len(folders.get(numbers.get(key.decode()), set()) & unseen))
            for key, count in re.findall(rb"^F(\S+)\t0 \(\d+ \d+ \d+ \d+ (\d+)\)$", shown, re.M)]

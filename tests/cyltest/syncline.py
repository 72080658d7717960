# SPDX-License-Identifier: BSD-3-Clause
"""Lines of the sync protocol, as a master sends them, and checksums computed anew (handbook 03 §3, §5)."""

import hashlib
import zlib

from .dlist import parse

VENDOR = "/vendor/cmu/cyrus-imapd/"


def guid(content):
    return hashlib.sha1(content).hexdigest()


def record(uid, modseq, flags="", content=b"abc", guid_=None, size=None, last_updated=1795310000,
           internaldate=1793534400, annotations=""):
    text = (f"%(UID {uid} MODSEQ {modseq} LAST_UPDATED {last_updated} FLAGS ({flags}) "
            f"INTERNALDATE {internaldate} SIZE {len(content) if size is None else size} "
            f"GUID {guid_ or guid(content)}")
    return text + (f" ANNOTATIONS ({annotations}))" if annotations else ")")


def mailbox(name, records=(), **keys):
    """Text behind APPLY; keys replace or (None) remove the defaults."""
    fields = {
        "UNIQUEID": "uniqwalk", "MBOXNAME": name, "MBOXTYPE": None, "SYNC_CRC": 0,
        "SYNC_CRC_ANNOT": 0, "LAST_UID": 5, "HIGHESTMODSEQ": 10, "RECENTUID": 0, "RECENTTIME": 0,
        "LAST_APPENDDATE": 0, "POP3_LAST_LOGIN": 0, "UIDVALIDITY": 1000, "PARTITION": "default",
        "ACL": '"anna\tlrswipkxtecdan\t"', "OPTIONS": "P",
    }
    fields.update(keys)
    text = " ".join(f"{k} {v}" for k, v in fields.items() if v is not None)
    return f"MAILBOX %({text} RECORD ({' '.join(records)}))"


def upload(*contents, partition="default"):
    """Bytes of a whole APPLY MESSAGE command, without its CRLF."""
    files = b" ".join(b"%%{%s %s %d}\r\n%s" % (partition.encode(), guid(c).encode(), len(c), c)
                      for c in contents)
    return b"APPLY MESSAGE (" + files + b")"


def full(sync, name):
    """The answer to GET FULLMAILBOX."""
    lines = sync.ok(f"GET FULLMAILBOX {name}").untagged
    assert len(lines) == 1
    kind, value = parse(lines[0])
    assert kind == "MAILBOX"
    return value


def state(sync, name):
    """'1:2() 4:21(\\Seen)': uid, modseq and flags of all records."""
    return " ".join(f"{int(r['UID'])}:{int(r['MODSEQ'])}({b' '.join(r['FLAGS']).decode()})"
                    for r in full(sync, name)["RECORD"])


def _crc(text):
    return zlib.crc32(text.encode("latin-1"))


def crcs(value):
    """(SYNC_CRC, SYNC_CRC_ANNOT) of a full mailbox, by an independent program."""
    basic, annot = 0, 12345678
    for r in value["RECORD"]:
        flags = [f.decode().lower() for f in r["FLAGS"]]
        if "\\expunged" in flags:
            continue
        flagcrc = 0
        for flag in flags:
            flagcrc ^= _crc(flag)
        basic ^= _crc(f"{int(r['UID'])} {int(r['MODSEQ'])} {int(r['LAST_UPDATED'])} ({flagcrc}) "
                      f"{int(r['INTERNALDATE'])} {r['GUID'].decode()}")
        for a in r.get("ANNOTATIONS", []):
            entry, text = a["ENTRY"].decode(), a["VALUE"].decode("latin-1")
            if entry == VENDOR + "thrid" and not a["USERID"]:
                text = f"{int(text, 16):x}"
            annot ^= _crc(f"{int(r['UID'])} {entry} {a['USERID'].decode()} {text}")
    return basic, annot


# Keys that may differ between two ends that agree (handbook 03 §17.3).
MAY_DIFFER = {"PARTITION", "QUOTAROOT", "LAST_APPENDDATE"}


def comparable(value):
    out = {k: v for k, v in value.items() if k not in MAY_DIFFER}
    # the order of flags is that of each server's own table of names
    out["RECORD"] = [{**r, "FLAGS": sorted(r["FLAGS"])} for r in value["RECORD"] if b"\\Expunged" not in r["FLAGS"]]
    return out

# SPDX-License-Identifier: BSD-3-Clause
"""The files of a mailbox, read and damaged by tests (handbook 02 §3)."""

import os
import shutil
import struct
import subprocess
import zlib

HEADER_SIZE, RECORD_SIZE = 160, 112
EXPUNGED, UNLINKED, NEEDS_CLEANUP, ARCHIVED = 0x80000000, 0x40000000, 0x10000000, 0x20000000
DELETED, FLAGGED, SEEN = 0x4, 0x2, 0x10

_HEADER = [("generation_no", ">I", 0), ("minor_version", ">I", 8), ("start_offset", ">I", 12),
           ("record_size", ">I", 16), ("num_records", ">I", 20), ("last_appenddate", ">I", 24),
           ("last_uid", ">I", 28), ("quota_mailbox_used", ">Q", 32), ("uidvalidity", ">I", 44),
           ("deleted", ">I", 48), ("answered", ">I", 52), ("flagged", ">I", 56),
           ("options", ">I", 60), ("highestmodseq", ">Q", 68), ("deletedmodseq", ">Q", 76),
           ("exists", ">I", 84), ("first_expunged", ">I", 88), ("last_repack_time", ">I", 92),
           ("header_file_crc", ">I", 96), ("sync_crc_basic", ">I", 100), ("recentuid", ">I", 104),
           ("quota_annot_used", ">I", 116), ("sync_crc_annot", ">I", 120), ("unseen", ">I", 124),
           ("createdmodseq", ">Q", 128), ("changes_epoch", ">I", 136)]
_RECORD = [("uid", ">I", 0), ("internaldate", ">I", 4), ("sentdate", ">I", 8), ("size", ">I", 12),
           ("header_size", ">I", 16), ("gmtime", ">I", 20), ("cache_offset", ">I", 24),
           ("last_updated", ">I", 28), ("flags", ">I", 32), ("user_flags", ">16s", 36),
           ("savedate", ">I", 52), ("cache_version", ">H", 58), ("guid", ">20s", 60),
           ("modseq", ">Q", 80), ("cid", ">Q", 88), ("createdmodseq", ">Q", 96),
           ("cache_crc", ">I", 104)]


def _decode(fields, data):
    return {name: struct.unpack_from(form, data, off)[0] for name, form, off in fields}


class IndexFile:
    """A cyrus.index of version 17: .header and .records are dicts; set() writes one field back with good CRCs."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.data = bytearray(f.read())
        self.header = _decode(_HEADER, self.data)
        self.records = [_decode(_RECORD, self.data[self.offset(n):self.offset(n) + RECORD_SIZE])
                        for n in range(1, self.header["num_records"] + 1)]

    @staticmethod
    def offset(recno):
        """Place of record recno, which counts from 1."""
        return HEADER_SIZE + (recno - 1) * RECORD_SIZE

    def by_uid(self):
        return {r["uid"]: r for r in self.records}

    def crcs_are_good(self):
        ok = zlib.crc32(self.data[:156]) == struct.unpack_from(">I", self.data, 156)[0]
        for n in range(1, len(self.records) + 1):
            at = self.offset(n)
            ok &= zlib.crc32(self.data[at:at + 108]) == struct.unpack_from(">I", self.data, at + 108)[0]
        return ok

    def set(self, field, value, recno=None):
        base = 0 if recno is None else self.offset(recno)
        form, off = next((f, o) for n, f, o in (_HEADER if recno is None else _RECORD) if n == field)
        struct.pack_into(form, self.data, base + off, value)
        size = 156 if recno is None else 108
        struct.pack_into(">I", self.data, base + size, zlib.crc32(self.data[base:base + size]))
        with open(self.path, "r+b") as f:
            f.write(self.data)


def _annotation_crc(uid, entry, value):
    return zlib.crc32(f"{uid} /vendor/cmu/cyrus-imapd/{entry}  {value}".encode())


def multiply(index, n):
    """Messages 1 to n in the place of its one without flags: as that one but for UID, modseq, createdmodseq and GUID. No files."""
    one, header = index.records[0], index.header
    assert len(index.records) == 1 and not one["flags"] and not any(one["user_flags"])
    template, fields = index.data[index.offset(1):index.offset(1) + 108], {name: (f, o) for name, f, o in _RECORD}
    out, basic, annot = bytearray(), 0, 12345678
    for uid in range(1, n + 1):
        sha = struct.pack(">5I", uid, *(uid * k & 0xffffffff for k in (2654435761, 40503, 2246822519, 3266489917)))
        for name, value in (("uid", uid), ("modseq", uid + 1), ("createdmodseq", uid + 1), ("guid", sha)):
            struct.pack_into(fields[name][0], template, fields[name][1], value)
        out += template + struct.pack(">I", zlib.crc32(template))
        basic ^= zlib.crc32(f"{uid} {uid + 1} {one['last_updated']} (0) {one['internaldate']} {sha.hex()}".encode())
        annot ^= _annotation_crc(uid, "createdmodseq", uid + 1)
        if one["savedate"]:
            annot ^= _annotation_crc(uid, "savedate", one["savedate"])
        if one["cid"]:
            annot ^= _annotation_crc(uid, "thrid", f"{one['cid']:x}")
    index.data[HEADER_SIZE:] = out
    for name, value in (("num_records", n), ("exists", n), ("unseen", n), ("last_uid", n), ("highestmodseq", n + 2),
                        ("quota_mailbox_used", n * one["size"]), ("sync_crc_basic", basic), ("sync_crc_annot", annot)):
        form, off = next((f, o) for field, f, o in _HEADER if field == name)
        struct.pack_into(form, index.data, off, value)
    index.set("generation_no", header["generation_no"])


def mailbox_dir(server, name):
    """Directory of a mailbox, by its external name."""
    return server.run("mbpath", name).stdout.strip()


def index_of(server, name):
    return IndexFile(os.path.join(mailbox_dir(server, name), "cyrus.index"))


def message_files(directory):
    return sorted((n for n in os.listdir(directory) if n.endswith(".") and n[:-1].isdigit()),
                  key=lambda n: int(n[:-1]))


def damage(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def add_file(server, source, path):
    """A copy of source that belongs to the account of the server."""
    shutil.copyfile(source, path)
    server.account.give(path)


class Snapshot:
    """The store of a stopped server as it is now, to be put back any number of times."""

    def __init__(self, server, name="saved", directories=("conf", "spool")):
        assert not server.running
        self.server, self.saved, self.directories = server, server.path(name), directories
        os.mkdir(self.saved)
        for d in directories:
            self._copy(server.path(d), os.path.join(self.saved, d))

    @staticmethod
    def _copy(source, dest):
        subprocess.run(["cp", "-a", source, dest], check=True)

    def restore(self):
        for d in self.directories:
            shutil.rmtree(self.server.path(d))
            self._copy(os.path.join(self.saved, d), self.server.path(d))


def rot(server, name, uid):
    """One bit on the disk that no checksum of the mailbox knows of; the server is not running."""
    index = index_of(server, name)
    recno = [rec["uid"] for rec in index.records].index(uid) + 1
    index.set("flags", index.records[recno - 1]["flags"] ^ FLAGGED, recno)

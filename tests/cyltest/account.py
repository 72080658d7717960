# SPDX-License-Identifier: BSD-3-Clause
"""The account that servers under test run as; the one place that decides it.

Services refuse to run as root. Tests started by root therefore use another
account: $CYL_TEST_USER, else `cyrus` where it exists, else `nobody`. Tests
started by anybody else use that very account. CYRUS_USER and CYRUS_GROUP tell
the programs, Cylinder's and Debian's alike.
"""

import grp
import os
import pwd


class Account:
    def __init__(self):
        self.root = os.geteuid() == 0
        if self.root:
            entry = self._unprivileged()
        else:
            entry = pwd.getpwuid(os.geteuid())
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
        self.group = grp.getgrgid(self.gid).gr_name

    @staticmethod
    def _unprivileged():
        wanted = os.environ.get("CYL_TEST_USER")
        if wanted:
            return pwd.getpwnam(wanted)
        for name in ("cyrus", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise RuntimeError("no account to run servers as; set CYL_TEST_USER")

    def env(self):
        return {"CYRUS_USER": self.name, "CYRUS_GROUP": self.group}

    def popen_args(self):
        """Arguments of subprocess that make a command run as the account."""
        if not self.root:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path):
        """Makes the account the owner of path."""
        if self.root:
            os.chown(path, self.uid, self.gid)

    def mkdir(self, path, mode=0o750):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        self.give(path)
        return path

    def may_enter(self, path):
        """True when the account can reach path through all directories above it."""
        if not self.root:
            return os.access(path, os.R_OK)
        path = os.path.realpath(path)
        while True:
            st = os.stat(path)
            if st.st_uid == self.uid:
                need = 0o500
            elif st.st_gid == self.gid:
                need = 0o050
            else:
                need = 0o005
            if not os.path.isdir(path):
                need &= 0o444
            else:
                need &= 0o111
            if st.st_mode & need != need:
                return False
            if path == "/":
                return True
            path = os.path.dirname(path)

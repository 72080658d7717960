# SPDX-License-Identifier: BSD-3-Clause
"""Where the programs under test are."""

import os
import shutil
import stat

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Missing(RuntimeError):
    pass


class BuildPrograms:
    """The build tree: $CYL_BUILD, else build/ in the source tree."""

    DIRS = ("master", "imap", "ptclient", "lib", "cunit", "tests", "tests/crash")

    def __init__(self, account):
        self.build = os.path.abspath(os.environ.get("CYL_BUILD") or os.path.join(TOP, "build"))
        self._account = account
        self._copies = None

    def find(self, name):
        for d in self.DIRS:
            path = os.path.join(self.build, d, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        return None

    def has(self, name):
        return self.find(name) is not None

    def path(self, name, copydir=None):
        """The program, or a copy below copydir when the account can't reach the build tree."""
        path = self.find(name)
        if path is None:
            raise Missing(f"{name} is not built in {self.build} (set CYL_BUILD)")
        if copydir is None or self._account.may_enter(path):
            return path
        copy = os.path.join(copydir, name)
        if not os.path.exists(copy):
            os.makedirs(copydir, exist_ok=True)
            os.chmod(copydir, 0o755)
            shutil.copy2(path, copy)
            os.chmod(copy, stat.S_IMODE(os.stat(copy).st_mode) | 0o555)
        return copy


class DebianPrograms:
    """Debian's cyrus-imapd 3.6.1; apt-get install with an /usr/sbin/policy-rc.d that exits 101."""

    BIN = "/usr/lib/cyrus/bin"
    PACKAGES = {"imapd": "cyrus-imapd", "idled": "cyrus-imapd", "squatter": "cyrus-imapd",
                "pop3d": "cyrus-pop3d", "sync_server": "cyrus-replication",
                "sync_client": "cyrus-replication", "sync_reset": "cyrus-replication",
                "cyr_synclog": "cyrus-replication", "mupdate": "cyrus-murder"}

    def has(self, name):
        return os.access(os.path.join(self.BIN, name), os.X_OK)

    def path(self, name, copydir=None):
        if not self.has(name):
            raise Missing(f"{self.BIN}/{name} is missing: apt-get install "
                          f"{self.PACKAGES.get(name, 'cyrus-common')}")
        return os.path.join(self.BIN, name)

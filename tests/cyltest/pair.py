# SPDX-License-Identifier: BSD-3-Clause
"""Two servers, one replicating to the other."""

from .credentials import password


class Pair:
    """primary and replica; each an Instance of any flavour. Not started by the constructor.

    The primary writes a sync log and knows the replica's csync port; sync() runs
    sync_client there.
    """

    def __init__(self, primary, replica, service="csync"):
        self.primary, self.replica = primary, replica
        primary.conf.update({
            "sync_log": True,
            "sync_host": "127.0.0.1",
            "sync_port": replica.ports[service],
            "sync_authname": "repl",
            "sync_password": password("repl"),
            "sync_try_imap": False,
        })
        replica.conf["allowusermoves"] = True

    def start(self):
        self.replica.start()
        self.primary.start()
        return self

    def labels(self, service="imap"):
        """host:port of both ends, as check_replication takes them."""
        return [f"127.0.0.1:{server.ports[service]}" for server in (self.primary, self.replica)]

    def sync(self, *args, check=True):
        """sync_client on the primary: sync("-u", "alice")."""
        return self.primary.run("sync_client", "-v", "-l", *args, check=check)

    def rolling(self):
        """Adds a rolling sync_client to the primary; before start()."""
        self.primary.daemons.append(("syncclient", {"cmd": "sync_client -r"}))

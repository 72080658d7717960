# SPDX-License-Identifier: BSD-3-Clause
"""One server: directory, configuration, processes."""

import glob
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import processes
from .clients import Imap, Lmtp, Pop3, Sync
from .conf import write_cyrus_conf, write_imapd_conf
from .credentials import REALM, USERS, password, set_password

START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0

# Entry name: program with its own flags, and where it listens ("tcp": a port of its own).
KNOWN_SERVICES = {
    "imap": ("imapd", "tcp"),
    "imaps": ("imapd -s", "tcp"),
    "pop3": ("pop3d", "tcp"),
    "pop3s": ("pop3d -s", "tcp"),
    "lmtp": ("lmtpd -a", "tcp"),
    "lmtpunix": ("lmtpd", "socket/lmtp"),
    "csync": ("sync_server", "tcp"),
    "mupdate": ("mupdate -m", "tcp"),
}
DEFAULT_SERVICES = ("imap", "lmtp", "csync")


class StartFailed(AssertionError):
    """The server did not get ready; `status` is master's exit status, None when it was running."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


class NotStopped(AssertionError):
    """It has been killed by then."""


class Instance:
    """A server of the build tree. Set conf and the sections before start().

    name       short name, also the syslog prefix
    services   entry names of KNOWN_SERVICES
    conf       imapd.conf: option to value
    start_jobs, daemons, events, service_entries
               entries of cyrus.conf: lists of (name, attributes), or for services
               a dict of them; `cmd` begins with the name of a program of the build
               tree or an absolute path. -C is added to programs of the build tree.
    """

    flavour = "cylinder"
    fatal_log = re.compile(r"ERROR|TRACELOG|Unknown code ____")
    fatal_log_exempt = re.compile(r"DBERROR.*skipstamp")

    def __init__(self, account, programs, credentials, ports, name="cyl",
                 services=DEFAULT_SERVICES):
        self.account, self.programs, self._credentials = account, programs, credentials
        self.name = name
        self._ports = ports
        self.root = tempfile.mkdtemp(prefix=f"cyl-{name}-")
        os.chmod(self.root, 0o755)
        self.account.give(self.root)
        for d in ("conf", "spool", "run", "tmp", "conf/db", "conf/socket", "conf/proc",
                  "conf/log", "conf/msg", "conf/cores"):
            self.account.mkdir(self.path(d))
        self.logfile = self.path("log")
        self._create(self.logfile, 0o644)
        self.ports = {}
        self.process = None
        self.exit_status = None
        self.env = self._environment()
        self.conf = self._default_conf()
        self._set_up_sasl()
        self.start_jobs, self.daemons, self.events = [], [], []
        self.service_entries = {}
        for entry in services:
            self.add_service(entry)
        if self.programs.has("ctl_cyrusdb"):
            self.start_jobs.append(("recover", {"cmd": "ctl_cyrusdb -r"}))
        self._allowed_log = []

    # -- files --

    def path(self, *names):
        return os.path.join(self.root, *names)

    @property
    def imapd_conf(self):
        return self.path("imapd.conf")

    @property
    def cyrus_conf(self):
        return self.path("cyrus.conf")

    @property
    def pidfile(self):
        return self.path("run", "master.pid")

    def _create(self, path, mode):
        with open(path, "ab"):
            pass
        os.chmod(path, mode)
        self.account.give(path)

    def _copy_in(self, source, dest, mode=0o600):
        shutil.copyfile(source, dest)
        os.chmod(dest, mode)
        self.account.give(dest)

    # -- configuration --

    def _environment(self):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": self.path("tmp"),
               "TMPDIR": self.path("tmp"), processes.MARK: self.root}
        for name, value in os.environ.items():
            if name == "TZ" or name.startswith("CYLINDER_"):
                env[name] = value
        env.update(self.account.env())
        report = self.path("tmp", "sanitizer")
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            env[name] = ":".join(filter(None, (os.environ.get(name), f"log_path={report}",
                                               "print_stacktrace=1")))
        return env

    def allow_leaks(self, function):
        """A library leaks what it allocates below that function of its own."""
        path = self.path("tmp", "leaks")
        with open(path, "w", encoding="ascii") as f:
            f.write(f"leak:{function}\n")
        self.account.give(path)
        self.env["LSAN_OPTIONS"] += f":suppressions={path}:print_suppressions=0"
        self.env["ASAN_OPTIONS"] += ":fast_unwind_on_malloc=0"

    def _default_conf(self):
        return {
            "configdirectory": self.path("conf"),
            "defaultpartition": "default",
            "partition-default": self.path("spool"),
            "servername": REALM,
            "syslog_prefix": self.name,
            "debug": True,
            "admins": "admin repl",
            "allowplaintext": True,
            "failedloginpause": 0,
            "lmtpsocket": self.path("conf", "socket", "lmtp"),
            "conversations": True,
            "log_file": self.logfile,
        }

    def _set_up_sasl(self):
        self.sasldb = self.path("conf", "sasldb")
        self._copy_in(self._credentials.sasldb(), self.sasldb)
        self.conf.update({"sasl_pwcheck_method": "auxprop", "sasl_auxprop_plugin": "sasldb",
                          "sasl_sasldb_path": self.sasldb, "sasl_mech_list": "PLAIN LOGIN"})

    def add_user(self, user, secret=None):
        """A password for a user that is not one of credentials.USERS."""
        set_password(self.sasldb, user, secret or password(user), self.conf["servername"])
        self.account.give(self.sasldb)

    def call_it(self, servername):
        """Another servername than all others have: passwords belong to it."""
        self.conf["servername"] = servername
        for user in USERS:
            self.add_user(user)

    def use_tls(self):
        """Configures a certificate; self.cafile verifies it."""
        certs = self._credentials.certs()
        for name in ("cert.pem", "key.pem", "ca.pem"):
            self._copy_in(os.path.join(certs, name), self.path("conf", name))
        self.cafile = self.path("conf", "ca.pem")
        self.conf["tls_server_cert"] = self.path("conf", "cert.pem")
        self.conf["tls_server_key"] = self.path("conf", "key.pem")

    def add_service(self, entry, cmd=None, listen=None, **attributes):
        """Adds a SERVICES entry; cmd and listen as in KNOWN_SERVICES (or any listen text)."""
        known = KNOWN_SERVICES.get(entry, (None, "tcp"))
        cmd, listen = cmd or known[0], listen or known[1]
        if listen == "tcp":
            self.ports[entry] = self._ports.take()
            listen = f"127.0.0.1:{self.ports[entry]}"
        elif listen.startswith("socket/"):
            listen = self.path("conf", listen)
        self.service_entries[entry] = {"cmd": cmd, "listen": listen, **attributes}

    def program(self, name):
        return self.programs.path(name, self.path("bin"))

    def command(self, cmd):
        """A command line of cyrus.conf: the program's path, and -C for our own programs."""
        name, _, rest = cmd.partition(" ")
        if name.startswith("/"):
            return cmd
        return f"{self.program(name)} -C {self.imapd_conf} {rest}".rstrip()

    def write_conf(self):
        write_imapd_conf(self.imapd_conf, self.conf)

        def ready(entries):
            return [(name, {**attr, "cmd": self.command(attr["cmd"])}) for name, attr in entries]

        write_cyrus_conf(self.cyrus_conf, {
            "START": ready(self.start_jobs),
            "SERVICES": ready(self.service_entries.items()),
            "EVENTS": ready(self.events),
            "DAEMON": ready(self.daemons),
        })
        if "sasldb" in os.path.basename(self.sasldb):
            self.account.give(self.sasldb)

    # -- life --

    master_args = ()

    def master_command(self):
        return [self.program("master"), "-C", self.imapd_conf, "-M", self.cyrus_conf,
                "-p", self.pidfile, "-l", "255", *self.master_args]

    def start(self, timeout=START_TIMEOUT, write=True):
        """Starts master and returns when every listener is open; StartFailed if it ends first."""
        if write:
            self.write_conf()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify_path = self.path("run", "notify")
            if os.path.exists(notify_path):
                os.unlink(notify_path)
            notify.bind(notify_path)
            os.chmod(notify_path, 0o777)
            self._spawn({"NOTIFY_SOCKET": notify_path})
            self._await_ready(notify, timeout)
            os.unlink(notify_path)
        return self

    def _spawn(self, extra_env):
        with open(self.path("run", "master.out"), "ab") as out:
            self.exit_status = None
            self.process = subprocess.Popen(
                self.master_command(), env={**self.env, **extra_env}, cwd=self.path("tmp"),
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True)

    def _await_ready(self, notify, timeout):
        deadline = time.monotonic() + timeout
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._start_failed("master did not get ready in time")
                readable, _, _ = select.select([notify, pidfd], [], [], left)
                if notify in readable and b"READY=1" in notify.recv(4096).split(b"\n"):
                    return
                if pidfd in readable:
                    self._start_failed("master ended before it was ready")
        finally:
            os.close(pidfd)

    def _start_failed(self, text):
        status = self.process.poll()
        if status is None:
            self.kill()
        self.process = None
        self.exit_status = status
        with open(self.path("run", "master.out"), encoding="utf-8", errors="replace") as out:
            raise StartFailed(f"{self.name}: {text} (status {status})\n{out.read()}"
                              f"{self.log_text()[-4000:]}", status)

    @property
    def pid(self):
        return self.process.pid if self.process else None

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, signo):
        os.kill(self.process.pid, signo)

    def reload(self):
        """SIGHUP; returns when master has read cyrus.conf again."""
        mark = self.log_mark()
        self.send_signal(signal.SIGHUP)
        self.wait_log("Services reconfigured", mark)

    def stop(self, timeout=STOP_TIMEOUT, signo=signal.SIGTERM):
        """Stops master cleanly, and asserts that it and all its children are gone."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.send_signal(signo)
        try:
            self.exit_status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            left = self._describe(processes.marked(self.root))
            self.kill()
            raise NotStopped(f"{self.name}: master did not stop in {timeout} s:\n{left}\n{self.log_text()[-4000:]}") from None
        self.process = None
        left = processes.wait_gone(processes.marked(self.root), self.orphan_grace)
        described = self._describe(left)
        self.kill()
        assert not left, f"{self.name}: processes left after the stop:\n{described}"
        assert self.exit_status == 0, f"{self.name}: master ended with {self.exit_status}"

    orphan_grace = 2.0

    def restart(self):
        self.stop()
        self.start()

    def kill(self):
        """SIGKILL to every process of this server, as a crash of the machine would."""
        for _ in range(10):
            pids = processes.marked(self.root)
            if not pids:
                break
            for pid in pids:
                processes.kill(pid)
            if self.process is not None and self.process.pid in pids:
                self.process.wait()
            processes.wait_gone(pids, 5)
        if self.process is not None:
            self.exit_status = self.process.wait()
            self.process = None

    @staticmethod
    def _describe(pids):
        return "\n".join(f"{pid}: {processes.command(pid)}" for pid in pids)

    def children(self, needle=""):
        """Pids of living processes of this server, but for master, whose command, or the title that they took, has needle."""
        return [pid for pid in processes.marked(self.root)
                if pid != self.pid and needle in processes.command(pid)]

    def kill_children(self, program):
        """SIGKILL to all that run it, whatever they call themselves; how many. Master, which gives up a service whose processes die again and
        again, is told to go on."""
        pids = [pid for pid in self.children() if processes.program(pid) == program]
        for pid in pids:
            processes.kill(pid)
        processes.wait_reaped(pids, 10)
        if pids and self.running:
            self.send_signal(signal.SIGHUP)
        return len(pids)

    def check(self):
        """What must be true after every test: no sanitizer report, no core, no ERROR line."""
        reports = glob.glob(self.path("tmp", "sanitizer*"))
        texts = []
        for report in reports:
            with open(report, encoding="utf-8", errors="replace") as f:
                texts.append(f.read())
        assert not reports, "\n".join(texts)
        cores = glob.glob(self.path("conf", "cores", "core*"))
        assert not cores, f"core files: {cores}"
        bad = [line for line in self.log_text().splitlines() if self._is_bad(line)]
        assert not bad, "unexpected lines in the log:\n" + "\n".join(bad)

    def _is_bad(self, line):
        if not self.fatal_log.search(line) or self.fatal_log_exempt.search(line):
            return False
        return not any(pattern.search(line) for pattern in self._allowed_log)

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)

    # -- log --

    def allow_log(self, pattern):
        """Lines that match may hold ERROR."""
        self._allowed_log.append(re.compile(pattern))

    def log_text(self, mark=0):
        with open(self.logfile, "rb") as f:
            f.seek(mark)
            return f.read().decode(errors="replace")

    def log_mark(self):
        return os.path.getsize(self.logfile)

    def wait_log(self, pattern, mark=0, timeout=20.0):
        """Waits for a line that matches; returns the match."""
        regex = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while True:
            for line in self.log_text(mark).splitlines():
                match = regex.search(line)
                if match:
                    return match
            if time.monotonic() > deadline:
                raise AssertionError(f"no line {pattern!r} in the log of {self.name}:\n"
                                     f"{self.log_text(mark)[-4000:]}")
            time.sleep(0.02)

    # -- tools --

    def run(self, tool, *args, check=True, data=None, timeout=120, conf=True):
        """Runs a tool with -C as the server's account; CompletedProcess with text.

        check: the exit code must be 0. data: standard input.
        """
        argv = [self.program(tool) if not tool.startswith("/") else tool]
        if conf:
            argv += ["-C", self.imapd_conf]
        argv += [str(arg) for arg in args]
        if not os.path.exists(self.imapd_conf):
            self.write_conf()
        text = not isinstance(data, bytes)
        done = subprocess.run(
            argv, env=self.env, cwd=self.path("tmp"), input=data, text=text, timeout=timeout,
            errors="replace" if text else None,
            stdin=subprocess.DEVNULL if data is None else None,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self.account.popen_args())
        if check and done.returncode != 0:
            raise AssertionError(f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def popen(self, tool, *args, **kwargs):
        """As run(), in the background; the caller waits for it."""
        return subprocess.Popen(
            [self.program(tool), "-C", self.imapd_conf, *map(str, args)], env=self.env,
            cwd=self.path("tmp"), **{"stdin": subprocess.DEVNULL, **kwargs},
            **self.account.popen_args())

    # -- clients --

    def address(self, service):
        """What LineClient connects to."""
        if service in self.ports:
            return ("127.0.0.1", self.ports[service])
        return self.service_entries[service]["listen"]

    def imap(self, user=None, service="imap", **kwargs):
        """An IMAP session, logged in when a user is given."""
        client = Imap(self.address(service), tls=service.startswith("imaps"), **kwargs)
        client.user = user
        if user:
            client.login(user, password(user))
        return client

    def lmtp(self, service="lmtp"):
        return Lmtp(self.address(service))

    def pop3(self, user=None, service="pop3", **kwargs):
        client = Pop3(self.address(service), tls=service.startswith("pop3s"), **kwargs)
        if user:
            client.login(user, password(user))
        return client

    def sync(self, user=None, service="csync"):
        """A csync session; user "repl" is an admin."""
        client = Sync(self.address(service))
        if user:
            client.login(user, password(user))
        return client

    def create_user(self, user, *folders):
        """Creates the INBOX and folders ("Work") of a user, as admin."""
        sep = "." if self.conf.get("unixhierarchysep") is False else "/"
        with self.imap("admin") as imap:
            for folder in ("", *folders):
                name = sep.join(filter(None, ("user", user, folder)))
                imap.ok(f'CREATE "{name}"')
            imap.logout()

    def deliver(self, message, *users, service="lmtp"):
        """Delivers by LMTP to INBOXes; every recipient must accept."""
        with self.lmtp(service) as lmtp:
            replies = lmtp.deliver(message, list(users))
            assert all(code == 250 for code, _ in replies), replies
            lmtp.quit()
        return replies

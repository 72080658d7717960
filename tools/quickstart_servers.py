# SPDX-License-Identifier: BSD-3-Clause
"""The part of tools/quickstart that runs after the build: servers, mail, replication, comparison."""

import argparse
import email.message
import email.policy
import email.utils
import glob
import grp
import imaplib
import json
import mailbox
import os
import pwd
import random
import secrets
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time

SAMPLES = "/usr/lib/python3.11/test/test_email/data"
MARK = ".cylinder-quickstart"  # in directories that we may empty
USER = "anna"
PROGRAMS = ("master", "imapd", "lmtpd", "pop3d", "sync_server", "sync_client", "ctl_cyrusdb",
            "cyr_info", "check_replication", "reconstruct", "quota")
NEEDED = ("master", "imapd", "lmtpd", "sync_server", "sync_client", "ctl_cyrusdb", "cyr_info",
          "check_replication")


def step(text):
    print(f"\n==> {text}", flush=True)


def die(text):
    print(f"quickstart: {text}", file=sys.stderr)
    sys.exit(1)


class Account:
    """Who runs the servers: services refuse to be root."""

    def __init__(self):
        self.switch = os.geteuid() == 0
        if self.switch:
            for name in ("cyrus", "nobody"):
                try:
                    entry = pwd.getpwnam(name)
                    break
                except KeyError:
                    continue
            else:
                die("there is neither a user cyrus nor nobody; run me as an ordinary user")
        else:
            entry = pwd.getpwuid(os.geteuid())
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
        self.env = {"CYRUS_USER": self.name, "CYRUS_GROUP": grp.getgrgid(self.gid).gr_name}

    def may_enter(self, path):
        """Can the account come to this directory?"""
        done = subprocess.run(["/usr/bin/test", "-x", path], **self.popen(), check=False)
        return done.returncode == 0

    def popen(self):
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path):
        if self.switch:
            os.chown(path, self.uid, self.gid)


class Progress:
    """A line that counts, on terminals."""

    def __init__(self, what, total):
        self.what, self.total, self.n, self.shown = what, total, 0, 0.0
        self.tty = sys.stdout.isatty()

    def tick(self):
        self.n += 1
        if self.tty and time.monotonic() - self.shown > 0.1:
            self.shown = time.monotonic()
            print(f"\r    {self.what}: {self.n} of {self.total} ", end="", flush=True)

    def end(self, text):
        print(("\r" if self.tty else "") + text + " " * 20, flush=True)


def free_ports(count):
    socks = [socket.socket() for _ in range(count)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


class Server:
    """One server of ours in its directory."""

    def __init__(self, home, name, shared):
        self.name, self.root, self.shared = name, os.path.join(home, name), shared
        self.account = shared.account
        self.ports = dict(zip(("imap", "imaps", "lmtp", "csync"), free_ports(4)))
        self.conf = self.path("imapd.conf")
        self.pidfile = self.path("run", "master.pid")
        self.log = self.path("log")

    def path(self, *names):
        return os.path.join(self.root, *names)

    def make(self):
        for d in ("", "conf", "conf/db", "conf/socket", "conf/proc", "conf/log", "conf/msg", "spool",
                  "run"):
            os.makedirs(self.path(d), exist_ok=True)
            os.chmod(self.path(d), 0o755)
            self.account.give(self.path(d))
        with open(self.log, "wb"):
            pass
        self.account.give(self.log)
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f"""configdirectory: {self.path('conf')}
defaultpartition: default
partition-default: {self.path('spool')}
servername: {self.shared.realm}
syslog_prefix: {self.name}
log_file: {self.log}
admins: admin repl
conversations: yes
expunge_mode: delayed
delete_mode: delayed
allowplaintext: no
lmtpsocket: {self.path('conf', 'socket', 'lmtp')}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {self.shared.path('sasldb')}
sasl_mech_list: PLAIN LOGIN
csync_allowplaintext: yes
lmtp_allowplaintext: yes
tls_server_cert: {self.shared.path('cert.pem')}
tls_server_key: {self.shared.path('key.pem')}
tls_client_ca_file: {self.shared.path('ca.pem')}
sync_authname: repl
sync_password: {self.shared.passwords['repl']}
proxy_authname: repl
proxy_password: {self.shared.passwords['repl']}
""")
        os.chmod(self.conf, 0o600)
        self.account.give(self.conf)
        prog = self.shared.program
        with open(self.path("cyrus.conf"), "w", encoding="ascii") as f:
            f.write(f"""START {{
  recover cmd="{prog('ctl_cyrusdb')} -C {self.conf} -r"
}}
SERVICES {{
  imap cmd="{prog('imapd')} -C {self.conf}" listen="127.0.0.1:{self.ports['imap']}" prefork=1
  imaps cmd="{prog('imapd')} -C {self.conf} -s" listen="127.0.0.1:{self.ports['imaps']}"
  lmtp cmd="{prog('lmtpd')} -C {self.conf} -a" listen="127.0.0.1:{self.ports['lmtp']}"
  csync cmd="{prog('sync_server')} -C {self.conf}" listen="127.0.0.1:{self.ports['csync']}"
}}
EVENTS {{
  checkpoint cmd="{prog('ctl_cyrusdb')} -C {self.conf} -c" period=30
}}
""")

    def env(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **self.account.env}

    def start(self):
        ready = self.path("run", "ready")
        argv = [self.shared.program("master"), "-C", self.conf, "-M", self.path("cyrus.conf"),
                "-p", self.pidfile, "-r", ready, "-d"]
        done = subprocess.run(argv, env=self.env(), check=False, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, **self.account.popen())
        deadline = time.monotonic() + 30
        while done.returncode == 0 and not os.path.exists(ready):
            if time.monotonic() > deadline or not running(self.pidfile):
                done.returncode = 1
            time.sleep(0.02)
        if done.returncode:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                die(f"{self.name} does not start:\n{done.stderr}{f.read()[-3000:]}")
        print(f"{self.name}: IMAP {self.ports['imap']}, IMAP over TLS {self.ports['imaps']}, "
              f"LMTP {self.ports['lmtp']}, sync {self.ports['csync']}")

    def tool(self, name, *args):
        return subprocess.run([self.shared.program(name), "-C", self.conf, *args], env=self.env(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              **self.account.popen())

    def imap(self, user):
        context = ssl.create_default_context(cafile=self.shared.path("ca.pem"))
        box = imaplib.IMAP4("127.0.0.1", self.ports["imap"])
        box.starttls(context)
        box.login(user, self.shared.passwords[user])
        return box


class Home:
    """What both servers share: programs, users, certificate."""

    def __init__(self, root, build, account):
        self.root, self.build, self.account = root, build, account
        self.realm = "cylinder.test"
        self.passwords = {user: secrets.token_urlsafe(9) for user in ("admin", "repl", USER)}

    def path(self, *names):
        return os.path.join(self.root, *names)

    def program(self, name):
        return self.path("bin", name)

    def make(self):
        os.makedirs(self.path("bin"), exist_ok=True)
        for name in PROGRAMS:
            for d in ("master", "imap"):
                source = os.path.join(self.build, d, name)
                if os.path.isfile(source):
                    shutil.copy2(source, self.program(name))
                    os.chmod(self.program(name), 0o755)
        missing = [name for name in NEEDED if not os.path.exists(self.program(name))]
        if missing:
            die(f"not built in {self.build}: {' '.join(missing)}")
        self.make_users()
        self.make_certificate()

    def make_users(self):
        for user, password in self.passwords.items():
            subprocess.run(["/usr/sbin/saslpasswd2", "-p", "-c", "-f", self.path("sasldb"), "-u",
                            self.realm, user], input=password.encode(), check=True)
        os.chmod(self.path("sasldb"), 0o600)
        self.account.give(self.path("sasldb"))
        with open(self.path("passwords"), "w", encoding="ascii") as f:
            f.writelines(f"{user} {password}\n" for user, password in self.passwords.items())
        os.chmod(self.path("passwords"), 0o600)

    def make_certificate(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.root, check=True, capture_output=True)

        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "365",
                "-subj", "/CN=Cylinder quickstart CA", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign")
        openssl("req", "-new", *key, "-keyout", "key.pem", "-out", "req.pem", "-subj",
                "/CN=localhost")
        with open(self.path("ext"), "w", encoding="ascii") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "365", "-extfile", "ext", "-out", "cert.pem")
        for name in ("ext", "req.pem", "ca.srl"):
            os.unlink(self.path(name))
        os.chmod(self.path("ca.pem"), 0o644)
        for name in ("cert.pem", "key.pem"):
            self.account.give(self.path(name))


# -- running servers --

def running(pidfile):
    """Pid of the master that has locked the pidfile, or None."""
    try:
        with open(pidfile, encoding="ascii") as f:
            pid = int(f.read())
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return pid if pidfile.encode() in f.read() else None
    except (OSError, ValueError):
        return None


def stop(root):
    stopped = 0
    for name in ("replica", "primary"):
        pid = running(os.path.join(root, name, "run", "master.pid"))
        if pid is None:
            continue
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 90
        while os.path.exists(f"/proc/{pid}"):
            if time.monotonic() > deadline:
                die(f"{name} (pid {pid}) does not stop")
            time.sleep(0.05)
        stopped += 1
        print(f"{name} stopped")
    return stopped


# -- mail --

def samples():
    for path in sorted(glob.glob(os.path.join(SAMPLES, "*.txt"))):
        with open(path, "rb") as f:
            yield os.path.basename(path), f.read()


def mbox_messages(path):
    for n, message in enumerate(mailbox.mbox(path, create=False), 1):
        yield f"message {n}", message.as_bytes()


def conversation(count):
    """A thread of replies with branches, the same one every time."""
    rng = random.Random(1)
    people = ["anna", "bert", "clara", "dieter"]
    ids, when = [], 1767600000
    for n in range(count):
        message = email.message.EmailMessage()
        who = people[n % len(people)]
        ids.append(f"<quickstart.{n}@example.org>")
        message["From"] = f"{who.title()} <{who}@example.org>"
        message["To"] = f"{USER}@example.org"
        message["Date"] = email.utils.formatdate(when + n * 613)
        message["Message-ID"] = ids[n]
        if n:
            parent = rng.randrange(max(0, n - 12), n)
            message["Subject"] = "Re: How shall we carve it?"
            message["In-Reply-To"] = ids[parent]
            message["References"] = " ".join(dict.fromkeys([ids[0], ids[parent]]))
        else:
            message["Subject"] = "How shall we carve it?"
        message.set_content("\n".join(f"{who} thinks, {i}: {rng.getrandbits(160):x}"
                                      for i in range(rng.randrange(3, 40))) + "\n")
        if n % 25 == 7:
            message.add_attachment(rng.randbytes(20000), maintype="application",
                                   subtype="octet-stream", filename="drawing.bin")
        yield f"reply {n}", message.as_bytes(policy=email.policy.SMTP)


def deliver(server, what, messages):
    """Over LMTP, one by one; prints which were refused, and why."""
    messages = list(messages)
    progress, refused, started = Progress(what, len(messages)), [], time.monotonic()
    lmtp = smtplib.LMTP("127.0.0.1", server.ports["lmtp"], "localhost", timeout=60)
    for name, data in messages:
        try:
            lmtp.sendmail("sender@example.org", [USER], data)
        except smtplib.SMTPResponseException as error:
            refused.append((name, error.smtp_error.decode(errors="replace")))
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))
            refused.append((name, code[1].decode(errors="replace")))
        progress.tick()
    lmtp.quit()
    took = time.monotonic() - started
    progress.end(f"{what}: {len(messages) - len(refused)} delivered in {took:.1f} s"
                 + (f", {len(refused)} refused" if refused else ""))
    for name, why in refused:
        print(f"    refused: {name}: {why}")


def set_up_mailboxes(server):
    box = server.imap("admin")
    for name in (f"user/{USER}", f"user/{USER}/Archive", f"user/{USER}/Drafts"):
        answer, data = box.create(name)
        if answer != "OK":
            die(f"CREATE {name}: {data[0].decode()}")
    box.logout()


def work_with_mail(server):
    """What a person does with mail: reads, flags, files, deletes."""
    box = server.imap(USER)
    _, data = box.select("INBOX")
    total = int(data[0])
    box.store(f"1:{max(1, total * 2 // 3)}", "+FLAGS.SILENT", r"(\Seen)")
    box.store(f"1:{max(1, total // 10)}", "+FLAGS.SILENT", r"(\Flagged $Important)")
    box.copy(f"1:{max(1, total // 4)}", "Archive")
    box.store(f"{max(1, total - 4)}:{total}", "+FLAGS.SILENT", r"(\Deleted)")
    box.expunge()
    box.subscribe("Archive")
    box.logout()
    print(f"{total} messages in INBOX; two thirds read, some flagged, a quarter copied to Archive, "
          "five expunged")


# -- replication --

def replicate(primary, replica):
    started = time.monotonic()
    done = primary.tool("sync_client", "-v", "-o", "-S", f"127.0.0.1:{replica.ports['csync']}",
                        "-u", USER)
    for line in (done.stdout + done.stderr).splitlines()[-12:]:
        print(f"    {line}")
    if done.returncode:
        die(f"sync_client ended with {done.returncode}; the logs are {primary.log} and {replica.log}")
    print(f"user {USER} replicated in {time.monotonic() - started:.1f} s")


def write_compare_script(home, primary, replica):
    """The very command that compares, so that it can be run again."""
    path = home.path("compare")
    argv = compare_command(home, primary, replica)
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n# SPDX-License-Identifier: BSD-3-Clause\n# Compares primary and replica again.\n"
                + "exec " + " ".join(f"'{a}'" for a in argv) + ' "$@"\n')
    os.chmod(path, 0o700)
    return path


def compare_command(home, primary, replica):
    return [home.program("check_replication"), "-C", primary.conf,
            f"127.0.0.1:{primary.ports['imap']}", f"127.0.0.1:{replica.ports['imap']}", USER]


def compare(home, primary, replica):
    done = subprocess.run(compare_command(home, primary, replica), env=primary.env(), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          **home.account.popen())
    print(done.stdout, end="")
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        die("primary and replica differ")


def table(primary, replica):
    """What an ordinary client sees on both ends."""
    rows, same = [], True
    boxes = [server.imap(USER) for server in (primary, replica)]
    _, listed = boxes[0].list()
    names = sorted(line.decode().rpartition(' "/" ')[2].strip('"') for line in listed)
    items = "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"
    for name in names:
        answers = []
        for box in boxes:
            answer, data = box.status(f'"{name}"', items)
            text = data[0].decode().partition("(")[2].rstrip(")") if answer == "OK" else "missing"
            words = text.split()
            values = dict(zip(words[0::2], words[1::2]))
            answers.append([values[item] for item in items.strip("()").split()]
                           if answer == "OK" else [text])
        same = same and answers[0] == answers[1]
        rows.append((name, *answers[0], "same" if answers[0] == answers[1] else str(answers[1])))
    for box in boxes:
        box.logout()
    head = ("mailbox", "messages", "unseen", "uidnext", "uidvalidity", "highestmodseq", "replica")
    widths = [max(len(str(r[i])) for r in [head, *rows] if i < len(r)) for i in range(len(head))]
    for row in [head, *rows]:
        print("    " + "  ".join(str(c).ljust(w) for c, w in zip(row, widths)).rstrip())
    if not same:
        die("a client sees different mail on the two ends")


def tell(home, primary, replica, compare_script):
    password = home.passwords[USER]
    print(f"""
user {USER}, password {password}   (all passwords: {home.path('passwords')})

    mutt -e 'set ssl_ca_certificates_file={home.path('ca.pem')}' \\
         -f imaps://{USER}:{password}@localhost:{primary.ports['imaps']}/INBOX
    openssl s_client -quiet -crlf -CAfile {home.path('ca.pem')} -connect 127.0.0.1:{primary.ports['imaps']}
        a login {USER} {password}
        b select INBOX
        c fetch 1:5 (FLAGS ENVELOPE)
        d logout
    the replica is the same with port {replica.ports['imaps']}

    replicate again:  {home.program('sync_client')} -C {primary.conf} -S 127.0.0.1:{replica.ports['csync']} -u {USER}
    compare again:    {compare_script}
    logs:             {primary.log} {replica.log}
    stop:             tools/quickstart --stop --dir {home.root}
""")


# -- all of it --

def choose_directory(given, account):
    root = os.path.abspath(given or "quickstart.d")
    parent = os.path.dirname(root)
    try:
        os.makedirs(parent, exist_ok=True)
    except OSError as error:
        die(f"can't use {root}: {error.strerror}")
    if account.may_enter(parent):
        return root
    if given:
        die(f"the user {account.name}, as whom the servers run, can't enter {parent}")
    root = "/var/tmp/cylinder-quickstart.d"
    print(f"The user {account.name}, as whom the servers run, can't enter {parent}: using {root}")
    return root


def empty_directory(root):
    """Ours, without what an earlier run has left there."""
    if os.path.isdir(root) and os.listdir(root) and not os.path.exists(os.path.join(root, MARK)):
        die(f"{root} is there, and not mine; choose another --dir")
    stop(root)
    try:
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root)
        os.chmod(root, 0o755)
        with open(os.path.join(root, MARK), "w", encoding="ascii"):
            pass
    except OSError as error:
        die(f"can't use {root}: {error.strerror}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--dir")
    parser.add_argument("--mbox")
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--stop", action="store_true")
    args = parser.parse_args()
    account = Account()
    root = choose_directory(args.dir, account)
    if args.stop:
        if not stop(root):
            print(f"nothing is running in {root}")
        return

    step(f"Servers in {root}")
    empty_directory(root)
    home = Home(root, args.build, account)
    home.make()
    primary, replica = Server(root, "primary", home), Server(root, "replica", home)
    for server in (primary, replica):
        server.make()
        server.start()
    set_up_mailboxes(primary)

    step("Mail")
    if args.mbox:
        deliver(primary, args.mbox, mbox_messages(args.mbox))
    else:
        deliver(primary, "e-mail samples of Python's test-suite", samples())
        deliver(primary, "a generated conversation", conversation(args.messages))
    work_with_mail(primary)

    step("Replication")
    replicate(primary, replica)

    step("Comparison: what clients see")
    table(primary, replica)
    step("Comparison: check_replication, every record")
    script = write_compare_script(home, primary, replica)
    compare(home, primary, replica)

    step("Yours to play with")
    tell(home, primary, replica, script)


if __name__ == "__main__":
    main()

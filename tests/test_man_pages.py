# SPDX-License-Identifier: BSD-3-Clause
"""Each program, its --help and its manual page say the same: every option of one is in the other two."""

import glob
import os
import re
import subprocess

import pytest

from cyltest.programs import TOP

PAGES = sorted(os.path.basename(page)[:-2] for page in glob.glob(os.path.join(TOP, "man", "*.8")))
SERVICES = {"imapd", "lmtpd", "pop3d", "sync_server"}
EVERYWHERE = {"--help", "--version"}
OPTION = re.compile(r"(?<![\w/.<>=-])(-[A-Za-z0-9]|--[a-z][a-z-]*)(?![\w])")
# Options that a program takes because the one of 3.6.1 does: they do nothing, or end with a word about it.
SILENT = {"ctl_mboxlist": {"-c", "-r"}, "cyr_dbtool": {"-t"}, "cyr_expire": {"-h"}, "cyr_synclog": {"-a", "-c"},
          "deliver": {"-E", "-F", "-d", "-e", "-f"}, "reconstruct": {"-g", "-k", "-m"}}


def options_of_help(programs, name):
    done = subprocess.run([programs.path(name), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (name, done)
    return set(OPTION.findall(done.stdout)) - EVERYWHERE


def flags(arguments):
    """mdoc: the options behind each Fl of a line."""
    found = []
    for run in re.findall(r"\bFl ((?:-?[A-Za-z0-9-]+)(?: , -?[A-Za-z0-9-]+)*)", arguments):
        found += ["-" + word for word in run.split(" , ")]
    return " ".join(found)


def page(name):
    """[(macro or "", text)] of each line, with what fonts and escapes hide."""
    lines = []
    with open(os.path.join(TOP, "man", f"{name}.8"), encoding="utf-8") as f:
        for line in f.read().splitlines():
            macro, _, text = line[1:].partition(" ") if line.startswith(".") else ("", "", line)
            if macro in ("RB", "RI", "BR", "IR", "BI", "IB"):
                text = "".join(word.strip('"') for word in re.findall(r'"[^"]*"|\S+', text))
            if re.search(r"\bFl\b", line):
                text = flags(line)
            if macro != '\\"':
                lines.append((macro, re.sub(r"\\f[A-Z]", "", text).replace("\\-", "-")))
    return lines


def options_of_source(name):
    """What getopt() is asked for, in the file of the program."""
    for directory in ("imap", "master"):
        path = os.path.join(TOP, directory, f"{name}.c")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                found = re.search(r'getopt(?:_long)?\(argc, argv, (?:"([^"]*)"|(\w+))', f.read())
            return {f"-{letter}" for letter in re.sub(r"[^A-Za-z0-9]", "", found.group(1))} if found and found.group(1) else set()
    return set()


def long_options(name):
    with open(os.path.join(TOP, "master" if name == "master" else "imap", f"{name}.c"), encoding="utf-8") as f:
        return {"--" + word for word in re.findall(r'\{ "([a-z-]+)", (?:no|required|optional)_argument', f.read())}


def own_options(name):
    """Options in the SYNOPSIS, and those that a tagged paragraph is about: a page names options of others, too."""
    found, synopsis, before = set(), False, ""
    for macro, text in page(name):
        if macro in ("SH", "Sh"):
            synopsis = "SYNOPSIS" in text
        elif synopsis or before == "TP" or macro == "It":
            found |= set(OPTION.findall(text))
        before = macro
    return found - EVERYWHERE


@pytest.mark.parametrize("name", PAGES)
def test_page_and_help_agree(programs, name):
    told, written = options_of_help(programs, name), own_options(name)
    silent = SILENT.get(name, set())
    assert not told - written, f"not in the manual page: {sorted(told - written)}"
    if name in SERVICES:
        return  # --help has what is common to all of them, and says so
    more = written - told - silent - long_options(name)
    assert not more, f"in the manual page, and not in --help: {sorted(more)}"
    missing = options_of_source(name) - told - silent
    assert not missing, f"taken, and not in --help: {sorted(missing)}"


def test_every_program_has_a_page(programs):
    built = set()
    for fragment in ("imap/imap.am", "master/master.am"):
        with open(os.path.join(TOP, fragment), encoding="utf-8") as f:
            built |= set(re.findall(r"^(?:s?bin|libexec)_PROGRAMS \+= \w+/(\w+)", f.read(), re.M))
    assert built == set(PAGES)

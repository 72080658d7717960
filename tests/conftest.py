# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the whole-server tests; see cyltest."""

import shutil

import pytest

from cyltest import (Account, BuildPrograms, DebianInstance, DebianPrograms, Instance, Pair)
from cyltest.credentials import Credentials
from cyltest.ports import Ports


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture(scope="session")
def account():
    return Account()


@pytest.fixture(scope="session")
def credentials():
    made = Credentials()
    yield made
    made.close()


@pytest.fixture(scope="session")
def programs(account):
    return BuildPrograms(account)


class Factory:
    """Makes servers of one flavour, and stops and checks them at the end of the test."""

    def __init__(self, cls, account, programs, credentials):
        self._cls, self._args = cls, (account, programs, credentials)
        self.ports = Ports()
        self.made = []

    def __call__(self, name=None, **kwargs):
        name = name or ("cyl" if not self.made else f"cyl{len(self.made)}")
        instance = self._cls(*self._args, self.ports, name=name, **kwargs)
        self.made.append(instance)
        return instance

    def finish(self, failed):
        problems = []
        for instance in reversed(self.made):
            try:
                instance.stop()
                instance.check()
            except AssertionError as problem:
                problems.append(str(problem))
            finally:
                instance.kill()
        self.ports.close()
        for instance in self.made:
            if failed or problems:
                print(f"\n{instance.name}: kept in {instance.root}; end of its log:\n"
                      f"{instance.log_text()[-3000:]}")
            else:
                instance.remove()
        assert not problems, "\n".join(problems)


def _failed(request):
    reports = (getattr(request.node, f"report_{when}", None) for when in ("setup", "call"))
    return any(report is not None and report.failed for report in reports)


def _ours(request, account, programs, credentials):
    """factory(name=..., services=(...)) makes a server of the build tree, not yet started."""
    made = Factory(Instance, account, programs, credentials)
    yield made
    made.finish(_failed(request))


factory = pytest.fixture(_ours, name="factory")
# servers that all tests of a module share
module_factory = pytest.fixture(_ours, scope="module", name="module_factory")


@pytest.fixture
def server(factory):
    """A started server with the default services."""
    return factory().start()


def _debian(request, account, credentials):
    """As factory, for Debian's 3.6.1."""
    programs = DebianPrograms()
    if not programs.has("master"):
        pytest.skip("INTEROP NOT TESTED: Debian's cyrus-imapd is not installed "
                    "(apt-get install cyrus-imapd cyrus-pop3d cyrus-replication)")
    if shutil.which("cc") is None:
        pytest.skip("INTEROP NOT TESTED: no C compiler to capture the log of Debian's 3.6.1")
    made = Factory(DebianInstance, account, programs, credentials)
    yield made
    made.finish(_failed(request))


debian_factory = pytest.fixture(_debian, name="debian_factory")
module_debian_factory = pytest.fixture(_debian, scope="module", name="module_debian_factory")


@pytest.fixture
def imap_server(factory):
    """Started, with the INBOXes of alice and bob."""
    server = factory(services=("imap",))
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
        admin.ok("CREATE user/bob")
    return server


@pytest.fixture
def pair(factory):
    """A primary and a replica of the build tree, not yet started."""
    return Pair(factory("primary"), factory("replica"))

# SPDX-License-Identifier: BSD-3-Clause
"""The power fails while a user goes from his home to the other end of the pair, and back (doc/failover.md, "Homes of users"): of whatever the two disks
are left with, never two ends take changes of him, and done again it is done.

CRASH_HOME_PAIRS  how often both servers go on from what the power cut left (default 2)
"""

import os
import random
import re

import pytest

from both_ends import BothEnds
from cyltest.syncdata import assert_same
from recording import SEED, STATES, message

PAIRS = int(os.environ.get("CRASH_HOME_PAIRS", "2"))
A, B = "a.example", "b.example"
MODES = ("all", "synced", "some")


def deliver(server, n):
    with server.lmtp() as lmtp:
        (code, _), = lmtp.deliver(message(n, 300 + n % 2 * 4000), ["anna"])
    assert code in (250, 451)
    return code == 250


def numbers(server):
    with server.imap("admin") as imap:
        imap.ok("EXAMINE user.anna")
        lines = imap.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (Message-ID)]").untagged
        imap.logout()
    return sorted(int(n) for line in lines for n in re.findall(rb"<m(\d+)@", line))


@pytest.fixture
def both(factory, in_memory):
    """anna at home at a, then at b, then at a; each time she gets mail, and the other end does not take it."""
    made = BothEnds(*(factory(name, services=("imap", "lmtp", "csync")) for name in "ab"))
    a, b = made.servers()
    for server in (a, b):
        server.add_user("anna")
        server.start()
    a.create_user("anna", "Work")
    with a.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrs")
        imap.logout()
    deliver(a, 1)
    a.run("sync_client", "-A")
    a.run("failover", "home", "--here", "--all")
    b.stop()
    a.stop()
    made.start()
    assert made.step(deliver, a, 10)
    made.step(a.run, "failover", "home", "anna")
    assert made.step(deliver, b, 11) and not deliver(a, 99)
    made.step(b.run, "failover", "home", "anna")
    assert made.step(deliver, a, 12) and not deliver(b, 99)
    made.stop()
    return made


def check_images(both, name):
    """The places of the trace at which some image takes changes of anna, and those at which one does not any more, by epoch."""
    result, images = both.homes(name, "anna", STATES)
    print(f"\n{name}: {result.summary}")
    assert not result.wrong, result.output
    assert len(images) == result.images
    takes, knows = {}, {}
    for image in images:
        (takes if image.server == name else knows).setdefault(image.epoch, []).append(image.pos)
    return takes, knows


def go_on(both, pos, rng, source, target, must_have):
    """Both ends lost their power there; their disks have that, each in its way."""
    chosen = {name: f"{pos}:{rng.choice(MODES)}:{rng.randrange(1000)}" for name in (A, B)}
    for name, image in chosen.items():
        both.ends[name].image(image)
    servers = dict(zip((A, B), both.servers()))
    for server in servers.values():
        server.start()
    taken = {n for n, name in ((20, A), (21, B)) if deliver(servers[name], n)}
    assert len(taken) <= 1, chosen
    servers[source].run("failover", "home", "anna")
    assert not deliver(servers[source], 30) and deliver(servers[target], 31), chosen
    servers[target].run("sync_client", "-u", "anna")
    a, b = servers.values()
    assert numbers(a) == numbers(b), chosen
    assert set(numbers(a)) >= {1, 31, *taken, *must_have}, (chosen, taken)
    assert_same(a, b, "anna")
    for server in (a, b):
        server.stop()
    return sorted(taken)


def test_power_cut(both):
    at_a, gone_a = check_images(both, A)
    at_b, gone_b = check_images(both, B)
    assert sorted(at_a) == [1, 3] and sorted(at_b) == [2]
    # at no place of the trace both have an image that takes them
    assert max(at_a[1]) < min(at_b[2]) and max(at_b[2]) < min(at_a[3])
    # and there is one at which neither has
    fenced = [min(gone_a[2]), min(gone_b[3])]
    assert fenced[0] < min(at_b[2]) and fenced[1] < min(at_a[3])

    rng = random.Random(SEED)
    for n in range(PAIRS):
        source, target, fence, done, must_have = [(A, B, fenced[0], min(at_b[2]), {10}), (B, A, fenced[1], min(at_a[3]), {10, 11})][n % 2]
        pos = rng.randrange(fence - (done - fence) // 2, done + (done - fence) // 2)
        print(f"at {pos}, of {fence} to {done}: taken {go_on(both, pos, rng, source, target, must_have)}")

# SPDX-License-Identifier: BSD-3-Clause
"""Database files that 3.6.1 wrote and we read, and the reverse, byte for byte where bytes are defined."""

import random

import pytest

BACKENDS = ("twoskip", "flat", "skiplist", "quotalegacy")


@pytest.fixture
def both(factory, debian_factory):
    ours, theirs = factory(services=()), debian_factory(services=())
    ours.write_conf()
    theirs.write_conf()
    return ours, theirs


def run(server, *args, data=None):
    r = server.run("cyr_dbtool", *args, check=False, data=data)
    assert r.returncode == 0, (r.returncode, r.stderr)
    return r.stdout


def script(rng, n, model=None, aborts=True):
    """Transactions of a batch on top of model, and the map that they leave.

    A transaction names a key once and deletes only what is there: the quotalegacy of 3.6.1 fails otherwise.
    """
    text, model = [], dict(model or {})
    for _ in range(n):
        text.append("BEGIN")
        after = dict(model)
        for key in {rng.choice("abcd") + str(rng.randrange(40)) for _ in range(rng.randrange(1, 6))}:
            if rng.random() < 0.4 and key in after:
                text.append(f"DELETE {key}")
                del after[key]
            else:
                after[key] = "%" + rng.choice("xyz") * rng.randrange(rng.choice((5, 5, 300)))
                text.append(f"SET {key} {{{len(after[key])}+}}\r\n{after[key]}")
        if aborts and rng.random() < 0.2:
            text.append("ABORT")
        else:
            text.append("COMMIT")
            model = after
    return "\n".join(text) + "\n", model


def shown(server, db, backend):
    return dict(line.split("\t", 1) for line in run(server, db, backend, "show").splitlines())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(3))
def test_turn_by_turn(both, backend, seed):
    """Both write to one file in turn; each reads what the other left, and finds it consistent."""
    ours, theirs = both
    rng = random.Random(seed)
    db = ours.path("conf", "quotas.db" if backend == "quotalegacy" else "t.db")
    model = {}
    for turn in range(6):
        writer = both[(turn + seed) % 2]
        # An aborted quotalegacy transaction of 3.6.1 leaves empty files behind.
        text, model = script(rng, 8, model, aborts=backend != "quotalegacy")
        run(writer, "-n", db, backend, "batch", data=text)
        for reader in both:
            assert shown(reader, db, backend) == model
            assert run(reader, db, backend, "consistent") == "Yes, consistent\n"
        if backend == "twoskip" and turn == 3:
            run(both[seed % 2], db, backend, "repack")
            for reader in both:
                assert shown(reader, db, backend) == model


def test_repack_writes_the_same_bytes(both):
    """Levels are random; with one record each, of level 1 in both, files are identical."""
    ours, theirs = both
    files = []
    for server in both:
        db = server.path("conf", "t.db")
        for _ in range(60):
            run(server, "-n", db, "twoskip", "set", "apple", "red")
            run(server, db, "twoskip", "repack")
            if "RECORD kl=5 dl=3 lvl=1 " in run(server, db, "twoskip", "dump"):
                break
            run(server, db, "twoskip", "set", "apple", "other")
        with open(db, "rb") as f:
            image = bytearray(f.read())
        image[24:32], image[60:64] = bytes(8), bytes(4)  # generation, and the checksum over it
        files.append(bytes(image))
    assert files[0] == files[1]


def test_dump_is_the_same(both):
    ours, theirs = both
    db = theirs.path("conf", "t.db")
    text, _ = script(random.Random(5), 30)
    run(theirs, "-n", db, "twoskip", "batch", data=text)
    assert run(ours, db, "twoskip", "dump") == run(theirs, db, "twoskip", "dump")


@pytest.mark.parametrize("damager, repairer", ((0, 1), (1, 0)))
def test_damage_of_one_is_repaired_by_the_other(both, damager, repairer):
    db = both[0].path("conf", "t.db")
    run(both[1], "-n", db, "twoskip", "set", data="a\t1\nb\t2\n")
    with open(db, "rb") as f:
        before = f.read()
    assert both[damager].run("cyr_dbtool", db, "twoskip", "damage", check=False).returncode == 70
    assert shown(both[repairer], db, "twoskip") == {"a": "1", "b": "2"}
    with open(db, "rb") as f:
        assert f.read() == before


def test_padding_of_commits(both):
    """Whatever the place: every head that 3.6.1 reads from our file, and we from theirs, is where it must be."""
    ours, theirs = both
    for writer, reader in ((ours, theirs), (theirs, ours)):
        db = writer.path("conf", "p.db")
        data = "".join(f"k{i:03}\t{'v' * (i % 97)}\n" for i in range(400))
        run(writer, "-n", db, "twoskip", "set", data=data)
        assert run(reader, db, "twoskip", "show") == run(writer, db, "twoskip", "show")
        blanks = [line for line in run(reader, db, "twoskip", "dump").splitlines() if line.endswith("BLANK")]
        assert blanks


@pytest.mark.parametrize("old, new", (("twoskip", "flat"), ("flat", "twoskip"), ("twoskip", "skiplist"),
                                      ("skiplist", "twoskip"), ("skiplist", "flat")))
def test_cvt_cyrusdb_agrees(both, old, new):
    ours, theirs = both
    db = theirs.path("conf", "old.db")
    text, model = script(random.Random(9), 20)
    run(theirs, "-n", db, old, "batch", data=text)
    for server in both:
        to = server.path("conf", "new.db")
        server.run("cvt_cyrusdb", db, old, to, new)
        for reader in both:
            assert shown(reader, to, new) == model

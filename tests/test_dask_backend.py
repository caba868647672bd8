"""How chips are dealt to machines, what `--cluster` may name, whether there is room, and what is kept on a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.cluster.capacity import describe_shortage, resources_available, resources_needed
from host.cluster.cluster_config import ListenConfig, parse_cluster
from host.errors import HostError
from host.mapping.chip_blocks import deal_chips
from host.provenance import ROOT, content_sha256
from host.run.content_store import ContentStore

# --- chips --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chips", "rooms", "sizes"),
    [
        (4, [2, 2], [2, 2]), (4, [4, 4], [2, 2]), (8, [2, 8, 8], [2, 3, 3]), (3, [1, 1, 1, 1], [1, 1, 1, 0]), (5, [9], [5]),
        (48, [16, 16, 16], [16, 16, 16]), (2, [0, 2], [0, 2]),
    ],
)  # fmt: skip
def test_chips_are_dealt_evenly_in_blocks(chips, rooms, sizes):
    blocks = deal_chips(range(chips), rooms)
    assert [len(block) for block in blocks] == sizes
    assert [chip for block in blocks for chip in block] == list(range(chips))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_whatever_fits_is_dealt(rooms, data):
    chips = data.draw(st.integers(0, sum(rooms)))
    blocks = deal_chips(range(chips), rooms)
    assert [chip for block in blocks for chip in block] == list(range(chips))
    assert all(len(block) <= room for block, room in zip(blocks, rooms, strict=True))
    free = [len(block) for block, room in zip(blocks, rooms, strict=True) if len(block) < room]
    assert not free or max(len(block) for block in blocks) - min(free) <= 1


def test_more_chips_than_room_are_refused():
    with pytest.raises(ValueError, match="5 chips, room for 4"):
        deal_chips(range(5), [2, 2])


# --- --cluster ----------------------------------------------------------------------------------------------------------


def test_a_scheduler_local_workers_and_files_are_told_apart(tmp_path):
    assert parse_cluster("tcp://head:8786").address == "tcp://head:8786"
    assert parse_cluster("local:4").workers == 4
    path = tmp_path / "slurm.toml"
    path.write_text(
        'kind = "jobqueue"\nclass = "SLURMCluster"\nworkers = 6\nchips = 8\n[options]\ncores = 32\nmemory = "64GB"\n'
        '[transport]\ninterface = "ib0"\nports = [40000, 40099]\n'
    )
    where = parse_cluster(str(path))
    assert (where.kind, where.class_name, where.workers, where.chips) == ("jobqueue", "SLURMCluster", 6, 8)
    assert where.options == {"cores": 32, "memory": "64GB"}
    assert where.transport == ListenConfig("ib0", (40000, 40099))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("local:0", "needs a number of workers"), ("local:x", "needs a number of workers"),
        ("head:8786", "needs a scheduler's address"),
        ("nowhere.toml", "no such file"),
    ],
)  # fmt: skip
def test_what_names_no_cluster_is_refused(text, words):
    with pytest.raises(HostError, match=words):
        parse_cluster(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("kind =", "Invalid value"), ('kind = "cloud"', "have scheduler, local, ssh, jobqueue"), ("x = 1", "unknown 'x'"),
        ('kind = "local"', "needs workers"), ('kind = "ssh"\nhosts = ["a"]\nchips = 1', "at least one worker's"),
        ('address = "head:8786"', r"needs tcp://HOST:PORT"), ('kind = "local"\nworkers = true', "needs another type"),
        ('kind = "local"\nworkers = 2\nchips = -1', "at least 1"),
        ('address = "tcp://h:1"\n[transport]\nports = [5, 1]', "first and last"),
        ('address = "tcp://h:1"\n[transport]\nport = 5', "unknown transport.port"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_by_what_is_wrong(tmp_path, content, words):
    path = tmp_path / "cluster.toml"
    path.write_text(content)
    with pytest.raises(HostError, match=words) as caught:
        parse_cluster(str(path))
    assert "\n" not in str(caught.value)


# --- room ---------------------------------------------------------------------------------------------------------------


def test_room_is_told_with_what_is_needed_and_what_there_is():
    need = resources_needed(pes=150, routers=1, stored_bytes=13_000_000)
    have = {"memory_bytes": 10**9, "tasks": 500, "descriptors": 10**6}
    assert describe_shortage(need, dict(need)) is None
    assert describe_shortage(need, have) == "memory: needs 2,113 MB, has 1,000 MB; processes and threads: needs 619, has 500"
    assert set(resources_available()) == set(need)
    assert describe_shortage(resources_needed(1, 1, 0), resources_available()) is None  # this machine has room for a PE


# --- what is kept, and versions -----------------------------------------------------------------------------------------


def test_a_store_keeps_each_content_once_and_forgets_the_oldest(tmp_path):
    store = ContentStore(tmp_path / "store")
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    first, second = store.add(b"a" * 100), store.add(b"b" * 100)
    assert store.add(b"a" * 100) == first
    assert set(store) == {first, second}
    assert store[first] == b"a" * 100
    assert store.missing([first, "0" * 64]) == ["0" * 64]
    for name in ("0" * 64, "../store", ""):
        with pytest.raises(KeyError):
            store[name]
    store.trim(150)
    assert len(store) == 1


def test_the_version_is_that_of_the_content(tmp_path):
    for name in ("host/a.py", "noc/b.toml", "tests/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    versions = [content_sha256(tmp_path)]
    (tmp_path / "tests/c.py").write_text("x = 2\n")
    versions.append(content_sha256(tmp_path))
    (tmp_path / "noc/b.toml").write_text("x = 2\n")
    versions.append(content_sha256(tmp_path))
    assert versions[0] == versions[1] != versions[2]
    assert len(content_sha256(ROOT)) == 64


def test_nothing_listens_on_a_public_address_unless_asked(monkeypatch):
    from host.cluster import dask_worker

    monkeypatch.setattr(dask_worker, "interface_addresses", lambda: {"lo": ["127.0.0.1"], "lan": ["10.0.0.5"], "wan": ["8.8.8.8"]})
    for asked, found in (("", "10.0.0.5"), ("lan", "10.0.0.5"), ("127.0.0.0/8", "127.0.0.1")):
        assert dask_worker._interface("tcp://10.0.0.5:4000", {"interface": asked, "public": False}) == found
    for at, asked in (("tcp://8.8.8.8:4000", ""), ("tcp://10.0.0.5:4000", "wan")):
        with pytest.raises(ValueError, match=r"8\.8\.8\.8 is a public address"):
            dask_worker._interface(at, {"interface": asked, "public": False})
        assert dask_worker._interface(at, {"interface": asked, "public": True}) == "8.8.8.8"

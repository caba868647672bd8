"""Several hosts on one machine, as network namespaces: one answer between them, and what happens when their network is cut."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from host.run_folder import read_report
from tests.tools.namespaces import Hosts, refusal
from tests.tools.processes import gone
from tests.tools.work import crowding
from tests.tools.workers import ROOT, Workers

WHY_NOT = refusal()
pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]


@pytest.fixture(scope="module")
def hosts():
    made = Hosts(("m1", "m2"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def cluster(hosts, tmp_path_factory):
    """A scheduler on the hub and a worker on each host, named after it."""
    started = Workers(tmp_path_factory.mktemp("dask"), hosts.address("hub"), hosts.inside("hub"))
    try:
        for name in ("m1", "m2"):
            started.add(name, 1, host=hosts.address(name), inside=hosts.inside(name))
        started.wait(2, inside=hosts.inside("hub"))
        yield started
    finally:
        started.close()


class Launch:
    """`launch.py lm` on the hub, as a person would start it."""

    def __init__(self, hosts, folder, tmp_path, cluster, *more):
        self.out = tmp_path / "run"
        command = [*hosts.inside("hub"), sys.executable, str(ROOT / "launch.py"), "lm", "--no-monitor", "--no-pictures"]
        command += ["--checkpoint", str(folder / "tiny.safetensors"), "--text", str(folder / "text.txt"), "--pes", "6"]
        command += ["--cluster", cluster, "--out", str(self.out), *more]
        self._said, self._complained = tmp_path / "stdout", tmp_path / "stderr"
        with self._said.open("w") as out, self._complained.open("w") as err:
            self.process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=err)

    def until(self, pattern, within_s=90):
        """Wait until a line of its output matches."""
        deadline = time.monotonic() + within_s * crowding()
        while not re.search(pattern, self._said.read_text()):
            assert time.monotonic() < deadline, self._said.read_text()
            assert self.process.poll() is None, self._said.read_text() + self._complained.read_text()
            time.sleep(0.02)

    def ended(self, within_s=60):
        """Wait until it has ended; return (exit code, what it wrote to stderr, report)."""
        code = self.process.wait(within_s * crowding())
        return code, self._complained.read_text(), read_report(self.out)


@pytest.mark.slow
def test_a_network_cut_between_two_hosts_is_named(hosts, cluster, folder, tmp_path):
    """Both still reach the scheduler and the launcher, and are told to end."""
    run = Launch(hosts, folder, tmp_path, cluster.address, "--chips", "2", "--tokens", "350", "--fault", "slow=PE(1,1,1)@0:0.03")
    run.until("running: .* tokens")
    began = time.monotonic()
    hosts.part("m1", "m2")
    try:
        run.until("ending: .* LOST: network cut: router@1 on worker m2")
        assert time.monotonic() - began < 10 * crowding()
        code, err, report = run.ended()
    finally:
        hosts.join("m1", "m2")
    assert code == 5
    cut = r"gennaker: network cut: router@1 on worker m2 \(.*\) cannot reach router@0 on worker m1 \(.*\)"
    line = cut + r" for \d s, at tick \d+; with --restart a run goes on\n"
    assert re.fullmatch(line, err), err
    assert report["partial"] is True
    assert report["problem"] in err
    assert gone(cluster.families)


@pytest.mark.slow
def test_hosts_give_the_answer_of_one_machine_also_through_a_short_interruption(hosts, cluster, folder, tmp_path, reference):
    """The addresses are those of the hosts; everything between them is encrypted and travels over their links."""
    run = Launch(hosts, folder, tmp_path, cluster.address, "--chips", "2", "--tokens", "24", "--fault", "slow=PE(1,1,1)@0:0.1")
    run.until("running: .* tokens")
    hosts.part("m1", "m2")
    time.sleep(1.5)
    hosts.join("m1", "m2")
    code, err, report = run.ended()
    assert code == 0, err
    assert report["events"]["sha256"] == reference[0]
    assert [machine["interface"] for machine in report["machines"]["machines"]] == [hosts.address(n) for n in ("m1", "m2")]
    assert all(sent > 0 for sent in report["machines"]["links_bytes"].values())
    assert gone(cluster.families)


@pytest.mark.slow
def test_a_host_that_is_cut_off_is_lost_and_cleans_up_by_itself(hosts, cluster, folder, tmp_path):
    run = Launch(hosts, folder, tmp_path, cluster.address, "--chips", "2", "--tokens", "350", "--fault", "slow=PE(1,1,1)@0:0.03")
    run.until("running: .* tokens")
    began = time.monotonic()
    hosts.unplug("m2")
    run.until("ending: .* LOST: ")
    assert time.monotonic() - began < 10 * crowding()
    code, err, _ = run.ended()
    assert code in (4, 5)
    assert "worker m2" in err
    assert gone(cluster.families, within_s=20)  # nobody can tell the lost one to end: its agent does so by itself

"""A decoder block of OPT-125M's shapes: small in every suite, as it is on 128 PE processes among the slow tests."""

from __future__ import annotations

import numpy as np
import pytest

from bench.transformers import block_options
from host.errors import Exit
from host.launch.launcher import Launcher
from host.mapping.tiling import network_works
from host.workloads.dnn.options import Options
from models.dnn.file import save_dnn
from models.dnn.model import DnnModel
from models.dnn.opt_block import opt_block, opt_tokens
from models.dnn.opt_shapes import block

pytestmark = pytest.mark.timeout(600)


def test_its_work_is_that_of_the_priced_shapes():
    network = opt_block(64)
    made = [one for one in network_works(network) if one.kind not in ("transpose", "reshape")]
    for have, (name, kind, work) in zip(made, block(64), strict=True):
        assert (have.name, have.kind, have.work.macs) == (name, kind, work.macs)


@pytest.mark.wide
def test_a_small_block_runs_as_the_reference_has_it(tmp_path):
    network = opt_block(20, width=32, heads=2, inner=48)
    save_dnn(tmp_path / "block.safetensors", DnnModel(network=network))
    np.save(tmp_path / "tokens.npy", opt_tokens(2, 20, width=32))
    options = Options(
        checkpoint=str(tmp_path / "block.safetensors"), inputs=str(tmp_path / "tokens.npy"), batch=2, pes=8, alone=True,
        verify=True, transport="mem",
    )  # fmt: skip
    options.check()
    outcome = Launcher(options, lambda _: None, lambda _: None).run()
    assert outcome.code is Exit.OK
    assert outcome.mismatch["difference"] is None


@pytest.mark.slow
def test_the_whole_block_runs_on_128_worker_processes_bit_for_bit(tmp_path):
    outcome = Launcher(block_options(tmp_path), lambda _: None, lambda _: None).run()
    assert outcome.code is Exit.OK, outcome.problem
    assert outcome.mismatch == {"compared": 14_942_208, "difference": None}
    assert max(row["pes"] for row in outcome.report["result"]["layers"]) == 128

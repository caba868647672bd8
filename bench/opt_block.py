"""`python -m bench.opt_block`: a decoder block of OPT-125M's shapes on PE processes, and whether each number is the reference's.

One pass of so many tokens, weights by a seed. What a run takes begins when all processes are up and ends when the last barrier has
fallen; the modelled time beside it is the chip's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from bench.targets import Figures, held
from host.errors import Exit
from host.launch.launcher import Launcher
from host.workloads.dnn.options import Options
from models.dnn.file import save_dnn
from models.dnn.model import DnnModel
from models.dnn.opt_block import INPUT, opt_block, opt_tokens

TOKENS, WORKERS = 512, 128


def block_options(folder: Path, tokens: int = TOKENS, workers: int = WORKERS, **chosen: object) -> Options:
    """Write a block and its input into a folder; return the options of a run on them."""
    network = opt_block(tokens)
    save_dnn(folder / "block.safetensors", DnnModel(network=network))
    np.save(folder / "tokens.npy", opt_tokens(1, tokens, width=network.tensors[INPUT].shape[-1]))
    options = Options(
        checkpoint=str(folder / "block.safetensors"), inputs=str(folder / "tokens.npy"), batch=1, pes=workers + 1, alone=True,
        **chosen,  # type: ignore[arg-type]  # options by their names
    )
    options.check()
    return options


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--share", default="none")
    parser.add_argument("--tiles", default="whole_depth")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = block_options(Path(folder), given.tokens, given.workers, share=given.share, tiles=given.tiles, verify=True)
        outcome = Launcher(options, lambda _: None, lambda _: None).run()
    assert outcome.code is Exit.OK and outcome.report is not None and outcome.mismatch is not None, outcome.problem
    report = outcome.report
    seconds, modelled = report["emulation"]["run_s"], report["modelled"]["time_s"]
    dram = sum(row["dram_bytes"] for row in report["result"]["layers"])
    figures: Figures = {"opt_block": seconds}
    print(held(figures) if (given.tokens, given.workers) == (TOKENS, WORKERS) else f"{seconds:.2f} s")
    print(f"  {given.tokens} tokens on {given.workers} workers: {seconds / modelled:,.0f} times the modelled {1e3 * modelled:.1f} ms")
    print(f"  {outcome.mismatch['compared']:,} numbers beside the reference: {outcome.mismatch['difference'] or 'all equal'}")
    print(f"  {dram:,} B of DRAM; sha256 {report['events']['sha256']}")


if __name__ == "__main__":
    main()

"""`python -m bench.transformers`: a decoder block of OPT-125M's shapes and the shipped vision transformer on PE processes.

Beside their targets, and whether each number is the reference's. The block reads one pass of tokens with weights by a seed; images
come in batches of 16, once to be timed, and once more beside the reference, which takes the host's time. What a run takes begins
when all processes are up and ends when the last barrier has fallen; the modelled time beside it is the chip's.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.targets import Figures, verdicts
from host.errors import Exit
from host.launch.launcher import Launcher
from host.workloads.dnn.options import Options
from models.dnn.file import save_dnn
from models.dnn.model import DnnModel
from models.dnn.opt_block import INPUT, opt_block, opt_tokens

TOKENS, WORKERS = 512, 128
IMAGES, IMAGE_WORKERS = 64, 40


def block_options(folder: Path, tokens: int = TOKENS, workers: int = WORKERS, **chosen: Any) -> Options:
    """Write a block and its input into a folder; return the options of a run on them."""
    network = opt_block(tokens)
    save_dnn(folder / "block.safetensors", DnnModel(network=network))
    np.save(folder / "tokens.npy", opt_tokens(1, tokens, width=network.tensors[INPUT].shape[-1]))
    options = Options(
        checkpoint=str(folder / "block.safetensors"), inputs=str(folder / "tokens.npy"), batch=1, pes=workers + 1, alone=True,
        verify=True, **chosen,
    )  # fmt: skip
    options.check()
    return options


def run_verified(options: Options) -> tuple[dict[str, Any], str]:
    """Run; return the report, and in words what its numbers are beside the reference. AssertionError where it did not end well."""
    outcome = Launcher(options, lambda _: None, lambda _: None).run()
    assert outcome.code is Exit.OK, outcome.problem
    assert outcome.report is not None
    assert outcome.mismatch is not None
    return (
        outcome.report,
        f"{outcome.mismatch['compared']:,} numbers beside the reference: {outcome.mismatch['difference'] or 'all equal'}",
    )


def measure(share: str = "none", tiles: str = "fewest", *, skips_block: bool = False) -> Figures:
    """Measure, print, and return the figures that have a target. `share` is the block's, `tiles` are both's."""
    figures: Figures = {}
    images = Options(
        checkpoint="digits-vit", samples=IMAGES, batch=16, pes=IMAGE_WORKERS + 1, resident="both", tiles=tiles, alone=True
    )
    images.check()
    timed = Launcher(images, lambda _: None, lambda _: None).run().report
    assert timed is not None
    report, verdict = run_verified(replace(images, verify=True))
    assert timed["events"] == report["events"]
    figures["vit_image"] = 1e3 * timed["emulation"]["run_s"] / IMAGES
    lines = [f"  digits-vit: {1e3 / figures['vit_image']:,.0f} images a second, {IMAGE_WORKERS} workers; {verdict}"]
    if not skips_block:
        with tempfile.TemporaryDirectory() as folder:
            report, verdict = run_verified(block_options(Path(folder), share=share, tiles=tiles))
        seconds, modelled = report["emulation"]["run_s"], report["modelled"]["time_s"]
        figures["opt_block"] = seconds
        dram = sum(row["dram_bytes"] for row in report["result"]["layers"])
        lines.append(
            f"  OPT block: {seconds / modelled:,.0f} times the modelled {1e3 * modelled:.1f} ms; {dram:,} B of DRAM; {verdict}"
        )
    print(verdicts(figures))
    print("\n".join(lines))
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", default="none", help="of the block")
    parser.add_argument("--tiles", default="fewest", help="of both")
    parser.add_argument("--skip-block", action="store_true")
    flags = parser.parse_args()
    measure(flags.share, flags.tiles, skips_block=flags.skip_block)


if __name__ == "__main__":
    main()

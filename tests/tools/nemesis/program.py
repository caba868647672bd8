"""A Python program that is hit: a run or a session of a model in memory, which says what it got as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np

from tests.tools.nemesis.subject import Talk

STEPS, BETWEEN_S = 40, 0.02


def tap_helper(talk: Talk) -> None:
    """Let this program tell when it has a helper, and what the helper says."""
    from gennaker import helper

    begin, receive = helper.Helper.__init__, helper.Helper.receive

    def begin_and_tell(self: Any, stall_s: float) -> None:
        begin(self, stall_s)
        talk.tell("helper")

    def receive_and_tell(self: Any, timeout_s: float) -> Any:
        record = receive(self, timeout_s)
        if record is not None:
            talk.told_of_status(record)
            talk.tell("starting" if record["kind"] == "status" else record["kind"])
        return record

    helper.Helper.__init__, helper.Helper.receive = begin_and_tell, receive_and_tell  # type: ignore[method-assign]


def main() -> int:
    """Do what the first argument says with the checkpoint that the second names; the third is the bound on standing still."""
    talk = Talk()
    tap_helper(talk)
    import gennaker as gk

    kind, path, stall_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    model = gk.load(path)
    os.utime(path)  # so that the model is a copy in TMPDIR, as one that was made in the program
    plan = model.fit(pes=12)
    (width,) = model.inputs.values()
    x = np.random.default_rng(1).normal(size=(STEPS if kind == "session" else 2000, width)).astype(np.float32)
    try:
        if kind == "run":
            said = {"sha256": plan.run(x, stall_s=stall_s, progress=False).sha256}
        else:
            with plan.session(stall_s=stall_s) as chip:
                talk.tell("open")
                for number, row in enumerate(x):
                    chip.step(row)
                    time.sleep(BETWEEN_S)
                    if number >= talk.share * STEPS:
                        talk.tell("step")
                talk.tell("close")
            said = {"sha256": chip.sha256}
    except gk.RunError as error:
        said = {"error": str(error), "code": error.code}
    except KeyboardInterrupt:
        said = {"error": "interrupted", "code": 130}
    print(json.dumps(said))  # noqa: T201
    return said.get("code", 0)


if __name__ == "__main__":
    raise SystemExit(main())

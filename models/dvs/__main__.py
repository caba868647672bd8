"""Event data on the command line: `python -m models.dvs write DIR` and `python -m models.dvs show WHAT`.

What a user gets wrong ends in one line on stderr and exit code 2. Damaged files are named and the rest is shown.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import NoReturn

from models.dvs.samples import CLASSES, SPLITS, Damage, DvsError, Events, GestureSet


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m models.dvs", description="Gesture recordings of event cameras, real and synthetic.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    write = commands.add_parser("write", help="write synthetic recordings in the layout of DVS128 Gesture", allow_abbrev=False)
    write.add_argument("folder", metavar="DIR", help="a new or empty folder")
    write.add_argument("--train", type=int, default=24, metavar="N", help="subjects of the train split (default 24)")
    write.add_argument("--test", type=int, default=8, metavar="N", help="subjects of the test split (default 8)")
    write.add_argument("--lights", type=int, default=4, metavar="N", help="recordings of each subject (default 4)")
    write.add_argument(
        "--repetitions", type=int, metavar="N", help="of each gesture in a recording (default 2 to train, 1 to test)"
    )
    write.add_argument("--seed", type=int, default=1, metavar="S", help="other seeds: other subjects, another camera (default 1)")
    show = commands.add_parser("show", help="summarise recordings, or the synthetic set", allow_abbrev=False)
    show.add_argument("what", metavar="WHAT", help="FILE.aedat, a folder (or file) of recordings, or synthetic")
    show.add_argument("--split", choices=SPLITS, default="test", help="of a folder or the synthetic set (default test)")
    show.add_argument("--samples", type=int, default=11, metavar="N", help="at most so many (default 11)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        {"write": _write, "show": _show}[options.command](options)
    except DvsError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _write(options: argparse.Namespace) -> None:
    from models.dvs.write_dataset import write_synthetic  # compiles kernels

    count = write_synthetic(options.folder, options.seed, options.train, options.test, options.lights, options.repetitions)
    print(f"{count} recordings in {options.folder}")


def _show(options: argparse.Namespace) -> None:
    if options.what != "synthetic" and not Path(options.what).is_dir() and not _is_set(options.what, options.split):
        from models.dvs.aedat import read_aedat

        recording = read_aedat(options.what)
        print(f"{Path(options.what).name:32} {_summary(recording.events)}")
        _warn(list(recording.damages))
        return
    chosen = _opened(options.what, options.split)
    print(f"{chosen.source}; {chosen.split} split{'' if chosen.count is None else f', {chosen.count} samples'}")
    for sample in islice(chosen.samples(), max(options.samples, 0)):
        print(f"{sample.name:32} {CLASSES[sample.label]:28} {_summary(sample.events)}")
    _warn(chosen.damages)


def _is_set(what: str, split: str) -> bool:
    from models.dvs.folder import is_known

    return is_known(what, split)


def _opened(what: str, split: str) -> GestureSet:
    if what == "synthetic":
        from models.dvs.synthetic import open_synthetic

        return open_synthetic(split)
    from models.dvs.folder import open_folder

    return open_folder(what, split)


def _summary(events: Events) -> str:
    count = events.t_us.size
    if not count:
        return "no events"
    seconds = (int(events.t_us[-1]) - int(events.t_us[0])) * 1e-6
    return f"{count:8,} events in {seconds:6.2f} s, {100 * float(events.p.mean()):3.0f} % ON"


def _warn(damages: list[Damage]) -> None:
    for damage in damages:
        print(damage, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

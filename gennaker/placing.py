"""Places a model on PEs, and says with numbers what does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gennaker.errors import DoesNotFit, explained, in_python
from gennaker.loaded import Loaded

if TYPE_CHECKING:
    from host.errors import HostError
    from host.mapping.placement import Placement
    from host.workloads.arrays.options import Options


@dataclass(frozen=True, eq=False, repr=False)
class PlacedModel:
    """A model on PEs, by these options of a run."""

    model: Loaded
    options: Options
    placement: Placement


def placed(model: Loaded, options: Options, lanes: int) -> Placement:
    """Return the placement of a model for so many sequences side by side; DoesNotFit and WrongInput as `Model.fit`."""
    from host.errors import Exit, HostError
    from host.workloads.site import place_for_run

    with explained():
        try:
            return place_for_run(replace(options, batch=lanes), model.checkpoint.network, model.checkpoint.provenance)
        except HostError as error:
            if error.code is not Exit.DOES_NOT_FIT:
                raise
            raise _does_not_fit(error, model, options, lanes) from None


def _does_not_fit(error: HostError, model: Loaded, options: Options, lanes: int) -> DoesNotFit:
    """Return what does not fit, with its numbers."""
    from host.errors import HostError
    from host.mapping import strategies
    from host.mapping.advice import fewest_pes_in_all
    from host.mapping.request import Request, sram_size
    from host.workloads.site import load_run_chip
    from noc.machine import machine_of
    from pe.sram import SramOverflow

    chip = load_run_chip(options)
    live = machine_of(chip, options.chips).live
    available = sum(len(chip.usable_pes(number)) for number in live)
    request = Request(format=options.format, lanes=lanes, size=sram_size(chip), available=available, chips=len(live))
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SramOverflow):
        cause = cause.__cause__
    region, need, free = (cause.region, cause.need_bytes, cause.free_bytes) if cause else ("", options.pes or 0, available)
    try:
        fewest = fewest_pes_in_all(model.checkpoint.network, request, even=strategies.named(options.mapping).EVEN)
    except HostError:  # one unit is too much for a PE
        fewest = None
    need = need if cause or options.pes else fewest or 0
    return DoesNotFit(in_python(str(error)), region=region, need=need, free=free, fewest_pes=fewest)

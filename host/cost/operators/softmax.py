"""A row of a softmax: exponentials by a table, by the chip's unit, or by a library."""

from host.cost.cost_table import CostTable
from host.cost.program_settings import ProgramSettings
from models.dnn.work import CoreWork


def unit_cycles(work: CoreWork, table: CostTable, settings: ProgramSettings) -> float:
    """Return the core's cycles of a unit."""
    if settings.softmax == "library":
        return work.steps * table["dnn_softmax_library_cycles"]
    if settings.softmax == "exp_unit":
        return work.steps * (table["dnn_softmax_rest_cycles"] + table["exp_unit_cycles"])
    return work.steps * table["dnn_softmax_cycles"]

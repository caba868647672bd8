"""Moving bytes: nothing is computed."""

from host.cost.cost_table import CostTable
from host.cost.program_settings import ProgramSettings
from models.dnn.work import CoreWork


def unit_cycles(work: CoreWork, table: CostTable, settings: ProgramSettings) -> float:
    """Return the core's cycles of a unit."""
    return work.steps * table["dnn_move_cycles"]

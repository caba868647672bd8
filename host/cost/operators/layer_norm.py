"""Two passes over a row: its sums, and the normalised numbers in float32."""

from host.cost.cost_table import CostTable
from host.cost.program_settings import ProgramSettings
from models.dnn.work import CoreWork


def unit_cycles(work: CoreWork, table: CostTable, settings: ProgramSettings) -> float:
    """Return the core's cycles of a unit."""
    return work.steps * table["dnn_layer_norm_cycles"]

"""A run in the metrics of NeuroBench, under the names and by the rules of its harness (NeuroBench/neurobench on GitHub,
`neurobench/metrics/static` and `neurobench/metrics/workload`).

The harness hooks torch modules and cannot see an EGRU, so the rules are applied here to what the checkpoint holds and the
ledger counted. What is measured is the network that the PEs run; embedding and decoder stay on the host, and their share
is told apart under `Host`. An *execution* is one position of one sequence, what torch would run as one call of the cells.

How each rule reads for an EGRU:

* `ParameterCount`: elements of all parameters, zeros included (W, R, their biases, thresholds).
* `Footprint`: bytes of all parameters as torch holds them: dense float32. An EGRU has no buffers; its state is no
  parameter. `DeployedFootprint` (ours) is what weights and variables take in the PEs' SRAM in the run's format.
* `ConnectionSparsity`: zeros over elements of W, R and their biases, as for the harness's recurrent cells; 4 decimals.
* `ActivationSparsity` and `ActivationSparsityByLayer`: zeros over all outputs y of the layers, every position and sequence.
  An EGRU's output is zero unless it emits an event, so this is one less events over units.
* `SynapticOperations`: an execution's average. `Effective_MACs` counts nonzero weight times nonzero input; events are
  graded, not binary, so none counts as an accumulate (`Effective_ACs` is 0). `Dense` counts every weight. Biases do not
  count. The harness adds three products of gates a unit for a GRUCell; they are apart, in `GateMACs`.

* `Task`: the measures of the task, such as accuracy or perplexity, as the workload's own metrics give them.

Missing: `MembraneUpdates` (defined on potentials before and after firing that snnTorch's neurons expose), and the model
execution rate, which is a property of a sensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.cost.ledger import Ledger
from models.network import Network

FLOAT_BYTES = 4
GATE_PRODUCTS = 3  # z c, (1 - z) g and r (R y): as many as the harness counts for a GRUCell


def neurobench_metrics(
    network: Network,
    ledger: Ledger,
    deployed_bytes: int,
    table: Sequence[int] | None = None,
    task: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """Return the metrics of a run of at least one position.

    `deployed_bytes` of weights and variables are in the SRAM of all PEs; `table` is (words, width) of the host's embedding, which
    is its decoder too (with a bias), None where it has none; `task` holds the workload's own measures by name.
    """
    layers = [network.populations[n] for n in network.layers]
    weights = [projection.weights for layer in layers for projection in layer.projections]
    vectors = [vector for layer in layers for vector in layer.vectors.values()]
    biases = [vector for layer in layers for name, vector in layer.vectors.items() if name.endswith("bias")]
    dense = sum(matrix.shape[0] * matrix.shape[1] for matrix in weights)
    parameters = dense + sum(vector.size for vector in vectors)
    connections = dense + sum(vector.size for vector in biases)
    nonzero = sum(int(np.count_nonzero(values)) for values in (*(matrix.values for matrix in weights), *biases))
    runs = ledger.positions * ledger.lanes
    events = ledger.of("events").sum(axis=0, dtype=np.int64)
    silent = {}
    for number, layer in enumerate(layers, start=1):
        silent[layer.name] = 1 - int(events[ledger.table["layer"] == number].sum()) / (layer.units * runs)
    units = sum(layer.units for layer in layers)
    macs = int(ledger.of("macs_input").sum(dtype=np.int64) + ledger.of("macs_recurrent").sum(dtype=np.int64))
    measures = {
        "Footprint": FLOAT_BYTES * parameters, "DeployedFootprint": deployed_bytes, "ParameterCount": parameters,
        "ConnectionSparsity": round(1 - nonzero / connections, 4),
        "ActivationSparsity": 1 - int(events.sum()) / (units * runs),
        "ActivationSparsityByLayer": silent,
        "SynapticOperations": {"Effective_MACs": macs / runs, "Effective_ACs": 0.0, "Dense": dense},
        "GateMACs": GATE_PRODUCTS * units, "Executions": runs, "Task": dict(task or {}), "Host": None,
    }  # fmt: skip
    if table:
        words, width = table
        heard = int(events[ledger.table["layer"] == len(layers)].sum())
        measures["Host"] = {
            "Footprint": FLOAT_BYTES * (words * width + words),
            "ParameterCount": words * width + words,
            # A trained or drawn table has no zeros, so each event of the last layer meets every word.
            "SynapticOperations": {"Effective_MACs": words * heard / runs, "Effective_ACs": 0.0, "Dense": words * width},
        }
    return measures

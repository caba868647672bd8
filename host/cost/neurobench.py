"""A run in the metrics of NeuroBench, under the names and by the rules of its harness (NeuroBench/neurobench on GitHub,
`neurobench/metrics/static` and `neurobench/metrics/workload`).

The harness hooks torch modules and cannot see our neurons, so the rules are applied here to what the checkpoint holds and the
ledger counted. What is measured is the network that the PEs run; embedding and decoder stay on the host, and their share
is told apart under `Host`. An *execution* is one position of one sequence, what torch would run as one call of the cells; an
idle lane is none.

How each rule reads:

* `ParameterCount`: elements of all parameters, zeros included (of an EGRU W, R, their biases, thresholds).
* `Footprint`: bytes of all parameters as torch holds them: dense, float32 or int8. A layer has no buffers; its state is no
  parameter. `DeployedFootprint` (ours) is what weights and variables take in the PEs' SRAM in the run's format.
* `ConnectionSparsity`: zeros over elements of weights and biases, as for the harness's recurrent cells; 4 decimals.
* `ActivationSparsity` and `ActivationSparsityByLayer`: zeros over all outputs y of the layers, every position and sequence.
  An output is zero unless it is an event, so this is one less events over units (and over the ticks of a position, of a
  layer that takes several). A layer that sends every unit's number counts as not sparse: its ledger does not say which are zero.
* `SynapticOperations`: an execution's average. `Effective_MACs` counts nonzero weight times nonzero input, `Effective_ACs` the
  same where the input can only be 0 or 1 (payload `spike`): an accumulate. `Dense` counts every weight. Biases do not
  count. The harness adds three products of gates a unit for a GRUCell; they are apart, in `GateMACs` (`UNIT_MACS` of a neuron
  model's cost twin).

* `Task`: the measures of the task, such as accuracy or perplexity, as the workload's own metrics give them.

Missing: `MembraneUpdates` (defined on potentials before and after firing that snnTorch's neurons expose), and the model
execution rate, which is a property of a sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from host.cost.ledger import MACS, RunLedger
from host.cost.twins import twin
from models.convolution import Convolution
from models.network import I64, Network, Weights

FLOAT_BYTES = 4


def neurobench_metrics(
    network: Network,
    ledger: RunLedger,
    deployed_bytes: int,
    table: Sequence[int] | None = None,
    task: Mapping[str, float | None] | None = None,
    alive: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return the metrics of a run of at least one position.

    `deployed_bytes` of weights and variables are in the SRAM of all PEs; `table` is (words, width) of the host's embedding, which
    is its decoder too (with a bias), None where it has none; `task` holds the workload's own measures by name; `alive` is
    called now and then.
    """
    layers = [network.populations[n] for n in network.layers]
    weights = [projection.weights for layer in layers for projection in layer.projections]
    vectors = [vector for layer in layers for vector in layer.vectors.values()]
    biases = [vector for layer in layers for name, vector in layer.vectors.items() if name.endswith("bias")]
    sizes = [matrix.places for matrix in weights]
    footprint = sum(size * matrix.values.itemsize for size, matrix in zip(sizes, weights, strict=True))
    dense, parameters = sum(map(_dense_products, weights)), sum(sizes) + sum(vector.size for vector in vectors)
    connections = sum(sizes) + sum(vector.size for vector in biases)
    nonzero = sum(int(np.count_nonzero(values)) for values in (*(matrix.values for matrix in weights), *biases))
    runs = max(ledger.executions, 1)
    events, outputs, by_port = _sums(ledger, alive)
    silent = {layer.name: 1 - events[n] / max(outputs[n], 1) for n, layer in zip(network.layers, layers, strict=True)}
    spikes = np.array([ledger.populations[source].payload == "spike" for source in ledger.ports["source"].tolist()], bool)
    macs, accumulates = int(by_port[~spikes].sum()), int(by_port[spikes].sum())
    gates = sum(getattr(twin("kernels", layer.kernel), "UNIT_MACS", 0) * layer.units for layer in layers)
    measures = {
        "Footprint": footprint + sum(vector.nbytes for vector in vectors), "DeployedFootprint": deployed_bytes,
        "ParameterCount": parameters, "ConnectionSparsity": round(1 - nonzero / connections, 4),
        "ActivationSparsity": 1 - sum(events.values()) / max(sum(outputs.values()), 1),
        "ActivationSparsityByLayer": silent,
        "SynapticOperations": {"Effective_MACs": macs / runs, "Effective_ACs": accumulates / runs, "Dense": dense},
        "GateMACs": gates, "Executions": ledger.executions, "Task": dict(task or {}), "Host": None,
    }  # fmt: skip
    if table:
        words, width = table
        heard = events[network.output]
        measures["Host"] = {
            "Footprint": FLOAT_BYTES * (words * width + words),
            "ParameterCount": words * width + words,
            # A trained or drawn table has no zeros, so each event of the last layer meets every word.
            "SynapticOperations": {"Effective_MACs": words * heard / runs, "Effective_ACs": 0.0, "Dense": words * width},
        }
    return measures


def _dense_products(weights: Weights) -> int:
    """Return the products of a position at which every unit of the source has an event; padding has none."""
    return int(weights.row_met.sum()) if isinstance(weights, Convolution) else weights.places


def _sums(run: RunLedger, alive: Callable[[], None]) -> tuple[dict[int, int], dict[int, int], I64]:
    """Return over the run how many events each layer sent, and how many it could have; and the products of each port."""
    population = run.shards["population"][run.turns.shard]
    units, sent = (np.zeros(len(population), np.int64) for _ in range(2))
    macs = np.zeros(len(run.ports["shard"]), np.int64)
    for part in run.parts():
        units += part.ledger.units_stepped.sum(axis=0)
        sent += part.ledger.events.sum(axis=0, dtype=np.int64)
        macs += part.ledger.port_counts[:, :, MACS].sum(axis=0, dtype=np.int64)
        alive()
    outputs = {number: int(units[population == number].sum()) for number in run.layers}
    # A dense section has a number for each lane, also for those that are idle.
    events = {number: min(int(sent[population == number].sum()), outputs[number]) for number in run.layers}
    return events, outputs, macs

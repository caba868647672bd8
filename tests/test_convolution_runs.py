"""Networks with kernels: the reference's bits and one hash whatever the format, the mapping, the number of PEs and of lanes; what a
recording and a price make of them, how they are dealt, stored and shown.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from host.cli import main
from host.cost.cost_table import load_table
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.price import price_positions as price
from host.mapping.layer_needs import layer_needs
from host.mapping.placement import place
from host.mapping.sharding import cut
from host.run.offline import network_sha256, record
from models import formats, kernels
from models.checkpoint import Model, load, save
from models.convolution import Convolution
from models.graph_check import check_network
from models.kernel_window import KernelWindow
from models.network import ModelError, Network, Population, Projection, SparseRows
from models.quantise import Grid, quantise_network
from models.spiking import RESETS, vectors_of
from noc.chip import load_chip
from tests.tools.graph_runs import Noted, RandomInput, run_graph
from tests.tools.ledgers import ran

pytestmark = pytest.mark.timeout(240)  # the first run compiles every format for every type of number
CHIP = load_chip()
FORMS = formats.names()


def spiking(name, units, *hears, threshold, kernel="lif", **params):
    """A population of spiking neurons; `hears` are (source, weights) or (source, weights, delay)."""
    projections = tuple(Projection(source, "input", weights, delay=sum(late)) for source, weights, *late in hears)
    vectors = vectors_of(units, kernels.named(kernel).FILL, threshold=threshold, **({"rate": 0.9} if kernel == "lif" else {}))
    payload = "count" if params.get("multi_spike") else "spike"
    return Population(name, units, kernel, projections, vectors, params, payload=payload)


def network(numeric="float32", kernel="lif"):
    """Two channels of 9 x 8; stride and padding; groups behind a pool; a kernel of one row; all of it to a loop onto itself."""
    rng = np.random.default_rng(3)

    def drawn(*shape):
        if numeric == "int8":
            return rng.integers(-2, 5, shape).astype(np.int8)  # some are zero
        return rng.normal(0.1, 0.5, shape).astype(np.float32)

    first = Convolution(drawn(4, 2, 3, 3), (2, 9, 8), stride=(2, 1), padding=(1, 1, 0, 1))
    second = Convolution(drawn(4, 2, 2, 2), first.output_shape, groups=2, dilation=(1, 2), pool=(2, 2), padding=(1, 1, 1, 1))
    third = Convolution(drawn(3, 4, 1, 2), second.output_shape)
    whole = Convolution(drawn(5, 3, 1, 1).repeat(third.output_shape[1], 2).repeat(third.output_shape[2], 3), third.output_shape)
    loop = SparseRows.from_dense(drawn(5, 5))
    many, subtract = {"multi_spike": 1.0}, {"reset": float(RESETS.index("subtract"))}
    threshold = 6 if numeric == "int8" else 0.7
    return Network((
        Population("frame", 144, payload="spike"),
        spiking("one", first.shape[0], (0, first), threshold=threshold, kernel=kernel),
        spiking("two", second.shape[0], (1, second), (1, second, 2), threshold=threshold, kernel=kernel, **many, **subtract),
        spiking("three", third.shape[0], (2, third), threshold=threshold, kernel=kernel, **subtract),
        spiking("dense", 5, (3, whole), (4, loop, 1), threshold=threshold, kernel=kernel),
    ), (3, 4))  # fmt: skip


NETWORKS = {"float32": network(), "int8": network("int8"), "int32 state": network("int8", "iaf")}
EACH = pytest.mark.parametrize("name", NETWORKS)


def answer(name, form="conv", pes=9, mapping="uniform", lanes=2, chips=1, **how):
    whole = NETWORKS[name]
    placement = place(whole, CHIP, mapping=mapping, form=form, pes=pes, lanes=lanes, chips=chips)
    run, readout, _ = run_graph(placement, RandomInput(whole, lanes, 12, fresh=0.1, reset=0.1, idle=0.1), **how)
    return run.events.report(), readout.answers, [run.counts.macs(n) for n in whole.layers], run


@pytest.mark.wide
@pytest.mark.slow_but("int8")
@EACH
def test_every_format_mapping_and_number_of_pes_gives_the_references_bits_and_one_hash(name):
    first = answer(name)
    assert all(first[3].counts.events(n) for n in NETWORKS[name].layers)
    whole = sum(NETWORKS[name].populations[n].units for n in NETWORKS[name].layers)
    for form, (mapping, pes) in zip(
        itertools.cycle(FORMS), [("uniform", 4), ("balanced", 23), ("uniform", 40), ("balanced", None)]
    ):
        assert answer(name, form, pes, mapping)[:3] == first[:3]
    assert answer(name, pes=whole if whole <= 147 else 147, chips=4, shuffle=3)[:3] == first[:3]
    assert answer(name, losses=[40])[:2] == first[:2]


@pytest.mark.slow_but("int8")
@EACH
def test_a_recording_is_that_of_a_run_also_of_kernels_with_zeros(name):
    whole = NETWORKS[name]
    recorded = record(place(whole, CHIP, mapping="uniform", form="csr", pes=6), RandomInput(whole, 1, 12), Noted())
    for form in FORMS:
        placement = place(whole, CHIP, mapping="balanced", form=form, pes=11)
        ledger, said = ran(placement, RandomInput(whole, 1, 12)).recorder.ledger(), recorded.ledger(placement)
        assert (ledger.port_counts == said.port_counts).all(), form
        assert {n: c.tolist() for n, c in ledger.ports.items()} == {n: c.tolist() for n, c in said.ports.items()}
        assert ("channels" in ledger.ports) == (form == "conv")


def test_the_hash_of_a_network_sees_everything_of_a_kernel():
    whole = NETWORKS["float32"]
    one = whole.populations[1]
    weights, seen = one.projections[0].weights, {network_sha256(whole)}
    for change in (
        {"kernel": weights.kernel + 1},
        {"padding": (0, 1, 1, 1)},
        {"stride": (1, 2)},
        {"dilation": (1, 2)},
        {"pool": (1, 2)},
    ):
        other = replace(one, projections=(Projection(0, "input", replace(weights, **change)),))
        seen.add(network_sha256(Network((whole.populations[0], other, *whole.populations[2:]), whole.outputs)))
    assert len(seen) == 6


@pytest.mark.wide_but("int8")
@pytest.mark.parametrize("name", ["float32", "int8"])
def test_kernels_are_priced_and_a_ledgers_file_keeps_what_that_needs(name, tmp_path):
    whole, table = NETWORKS[name], load_table()
    placement = place(whole, CHIP, mapping="balanced", form="conv", pes=11)
    ledger = ran(placement, RandomInput(whole, 1, 12)).recorder.ledger()
    priced = price(ledger, CHIP, table)
    save_ledger(ledger, tmp_path)
    again = price(load_ledger(tmp_path), CHIP, table)
    assert again.time_s == priced.time_s > 0
    dearer = replace(
        table, constants={**table.constants, "conv_event_cycles": replace(table.constants["conv_event_cycles"], value=1e4)}
    )
    work, kernel = ledger.port_work, ledger.ports["channels"] > 0
    more = price(ledger, CHIP, dearer).shard_cycles.sum() - priced.shard_cycles.sum()
    assert more == pytest.approx((1e4 - table["conv_event_cycles"]) * work.heard[:, kernel].sum())
    assert not kernel.all()  # the dense layer's loop onto itself is packed
    # An output channel is met at most once an element: its window holds what it has, or more where it is a run.
    assert (work.places >= work.rows)[kernel].all()


@pytest.mark.wide
def test_a_layer_is_dealt_in_runs_so_that_a_pe_has_few_kernels():
    weights = Convolution(np.ones((8, 2, 3, 3), np.int8), (2, 10, 10), padding=(1, 1, 1, 1))
    whole = Network((Population("in", 200, payload="spike"), spiking("one", 800, (0, weights), threshold=5)))
    for pes, channels in ((8, 1), (4, 2), (3, 4), (16, 1), (7, 3), (100, 2)):
        for mapping in ("uniform", "balanced"):
            placement = place(whole, CHIP, mapping=mapping, form="conv", pes=pes)
            units = [placed.share[0].units for placed in placement.pes]
            assert np.concatenate(sorted(units, key=lambda own: own[0])).tolist() == list(range(800))
            assert max(len(np.unique(own // 100)) for own in units) <= channels
            assert max(map(len, units)) - min(map(len, units)) <= 1
            shards = [cut(whole, placement.request, placed.share)[0] for placed in placement.pes]
            windows = [KernelWindow(*shard.ports[0].shape.window) for shard in shards]
            assert not any(window.listed for window in windows)


@pytest.mark.wide
def test_no_pe_has_a_vector_of_the_sources_units():
    """A frame of 2 x 128 x 128 is 32,768 units: as a vector of spikes a third of a PE's data memory."""
    weights = Convolution(np.ones((16, 2, 2, 2), np.int8), (2, 128, 128), stride=(2, 2))
    whole = Network((Population("in", 32_768, payload="spike"), spiking("one", 65_536, (0, weights), threshold=3)))
    placement = place(whole, CHIP, mapping="balanced", form="conv", pes=None)
    assert len(placement.pes) <= 40
    for placed in placement.pes:
        assert not [region for region in placed.regions if "vector" in region.name]
        assert sum(region.size_bytes for region in placed.regions if region.role == "weights") < 200
    needs = layer_needs(whole, placement.request, [placed.share for placed in placement.pes])
    assert needs[1].kernels_bytes < 200
    assert (needs[1].rows_bytes, needs[1].rings_bytes, needs[1].pes) == (0, 0, len(placement.pes))


# ---- stored and shown


@EACH
def test_a_checkpoint_keeps_kernels_as_they_are(name, tmp_path):
    path, whole = tmp_path / "net.safetensors", NETWORKS[name]
    save(path, Model(whole))
    again = load(path).network
    for one, other in zip(again.populations, whole.populations, strict=True):
        for a, b in zip(one.projections, other.projections, strict=True):
            assert (type(a.weights), a.weights.values.tobytes()) == (type(b.weights), b.weights.values.tobytes())
            assert a.weights.to_dense().tobytes() == b.weights.to_dense().tobytes()
            assert (a.source, a.port, a.delay) == (b.source, b.port, b.delay)
    kernels_there = [
        p.weights for n in again.layers for p in again.populations[n].projections if isinstance(p.weights, Convolution)
    ]
    assert len(kernels_there) == 5
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["layer1.input.kernel"]["shape"] == [4, 2, 3, 3]
    assert header["layer2.input.1@2.kernel"]["shape"] == [4, 2, 2, 2]
    about = json.loads(header["__metadata__"]["gennaker"])
    assert (about["version"], about["task"]) == (5, None)
    assert about["populations"][1]["projections"][0]["convolution"] == {
        "kernel": [4, 2, 3, 3], "input_shape": [2, 9, 8], "stride": [2, 1], "padding": [1, 1, 0, 1], "dilation": [1, 1],
        "groups": 1, "pool": [1, 1],
    }  # fmt: skip


def rewritten(raw, change):
    """A checkpoint's bytes with other metadata."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    about = json.loads(header["__metadata__"]["gennaker"])
    change(about, about["populations"][1]["projections"][0])
    header["__metadata__"]["gennaker"] = json.dumps(about)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + raw[8 + size :]


@pytest.mark.few(8)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _, edge: edge["convolution"].pop("pool"), "a convolution needs kernel, input_shape"),
        (lambda _, edge: edge.update(convolution=3), "a convolution needs kernel, input_shape"),
        (lambda _, edge: edge["convolution"].update(stride=[2, True]), "stride of a convolution needs 2 numbers"),
        (lambda _, edge: edge["convolution"].update(stride=[0, 1]), "stride needs 2 whole numbers from 1"),
        (lambda _, edge: edge["convolution"].update(groups=[1]), "groups of a convolution needs 1 numbers"),
        (lambda _, edge: edge["convolution"].update(groups=2), "do not go with 2 groups"),
        (lambda _, edge: edge["convolution"].update(padding=[1, 1, 1, 1 << 30]), "padding of a convolution needs 4 numbers below"),
        (lambda _, edge: edge["convolution"].update(padding=[1, 1, 9, 1]), "need (128, 144) rows and columns, have (288, 144)"),
        (lambda _, edge: edge["convolution"].update(kernel=[4, 2, 3, 4]), "layer1.input.kernel needs shape (4, 2, 3, 4)"),
        (lambda _, edge: edge.pop("convolution"), "has no tensor 'layer1.input.extents'"),
        (
            lambda _, edge: edge.update(numeric="int8"),
            "layer1.input.kernel needs shape (4, 2, 3, 3) of int8, has (4, 2, 3, 3) of float32",
        ),
        (lambda about, _: about.update(version=4), "metadata lack"),
    ],
)
def test_a_kernel_that_a_file_says_wrongly_gets_a_line(change, words, tmp_path):
    path = tmp_path / "net.safetensors"
    save(path, Model(NETWORKS["float32"]))
    path.write_bytes(rewritten(path.read_bytes(), change))
    with pytest.raises(ModelError) as caught:
        load(path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_graph_with_a_kernel_that_cannot_be_is_refused_by_name():
    whole = NETWORKS["float32"]
    one = whole.populations[1]
    bad = replace(one, projections=(Projection(0, "input", replace(one.projections[0].weights, groups=3)),))
    with pytest.raises(ModelError, match=r"^frame to one: 2 channels in, 4 out and 2 of each kernel do not go with 3 groups$"):
        check_network(Network((whole.populations[0], bad, *whole.populations[2:]), whole.outputs))


def test_quantising_by_rows_refuses_a_kernel_by_name():
    with pytest.raises(ModelError, match=r"^one, port 'input': weights that are a kernel"):
        quantise_network(NETWORKS["float32"], Grid())


@pytest.mark.slow
def test_fit_and_info_say_what_is_kept_as_a_kernel(tmp_path, capfd):
    path, whole = tmp_path / "net.safetensors", NETWORKS["float32"]
    save(path, Model(whole))
    assert main(["fit", str(path), "--format", "conv", "--mapping", "balanced", "--pes", "9"]) == 0
    out = capfd.readouterr().out
    assert f"{whole.nonzeros:,} weights ({whole.connections:,} as matrices)" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.partition("fewest PEs")[2].splitlines() if line}
    assert rows["two"][3] != "0"  # it hears `one` twice, once two positions late: a ring
    assert (rows["one"][1], rows["one"][3]) == ("0", "0")
    assert rows["dense"][1] != "0"  # its loop onto itself is no kernel
    assert rows["all"] == ["1"]  # layers may share it, and it runs
    assert main(["fit", str(path), "--format", "conv", "--mapping", "balanced", "--pes", "1"]) == 0
    assert capfd.readouterr().out.splitlines()[1].startswith("1 PEs")
    assert main(["info", str(path)]) == 0
    out = capfd.readouterr().out
    assert "kernel 4x2x3x3" in out
    assert f"which join {whole.connections:,} pairs of units" in out

"""EGRUs in int8: quantising, the same bits in every format, placement and batch, the plain reference, and what is refused."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.commands import _outlook
from host.cost.formats.array import product_cycles
from host.cost.ledger_file import load_ledger
from host.cost.mac_array import matmul_cycles
from host.cost.price import price_positions
from host.cost.terms import terms_of
from host.errors import HostError
from host.launch.in_process import run_here
from host.run.offline import record
from host.workloads.dvs import outlook as dvs_outlook
from host.workloads.lm import outlook as lm_outlook
from host.workloads.lm.options import Options
from host.workloads.lm.outlook import perplexity_on_test
from host.workloads.outlook_row import OutlookRow
from host.workloads.registry import prepare
from models.checkpoint import Model, load, save
from models.checkpoint.compressed import METHODS, compress, expanded
from models.checkpoint.graph import graph_of, network_of, tensors_of
from models.checkpoint.tensorfile import Tensors
from models.compute.mac_array import mac_matmul
from models.event_numbers import numbers_of, values_of
from models.formats import array, names_for
from models.graph_check import check_network
from models.network import ModelError, Network, SparseRows
from models.quantise.egru import fitted_scale, quantise_egru
from models.quantise.egru_calibration import samples_of
from models.reference import Reference, neurons_of
from models.seeded import seeded_egru, seeded_embedding
from models.shard import PortShape

UNITS, WORDS = 20, 60
NETWORK = seeded_egru(UNITS, (24, 24, UNITS), density=0.4, seed=7, threshold=0.2)
SCALES = {"input_scales": {0: 1 / 64}, "event_scales": dict.fromkeys((1, 2, 3), 1 / 128)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A language model in float32, and a text in its words."""
    path = tmp_path_factory.mktemp("int8") / "lm.safetensors"
    vocabulary = ("<unk>", "<eos>", *(f"w{n}" for n in range(WORDS - 2)))
    save(path, Model(NETWORK, seeded_embedding(WORDS, UNITS, seed=3), np.linspace(-1, 1, WORDS, dtype=np.float32), vocabulary, 7))
    path.with_name("text.txt").write_text(" ".join(f"w{n * 7 % 58}" for n in range(60)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small(source):
    """The same in int8, by the command."""
    target = source.with_name("int8.safetensors")
    assert main(["quantise", str(source), str(target)]) == 0
    return target


def report_of(model, folder, **changes):
    options = {"checkpoint": str(model), "text": str(Path(model).with_name("text.txt")), "tokens": 25, "pes": 5, "transport": "mem"}
    outcome = run_here(Options(**{**options, **changes}), folder, lambda _: None, lambda _: None)
    assert outcome.problem is None
    return {**outcome.report, "verify": outcome.mismatch}


@pytest.mark.parametrize("form", ["csr", "packed", "dense", "array", "vectors"])
@pytest.mark.parametrize("pes", [3, 7])
def test_a_run_s_ledger_is_read_again_whatever_a_format_looks_at(small, tmp_path, form, pes):
    """`vectors` looks at the zeros of a vector, too, and so at more weights than a shard has."""
    report_of(small, tmp_path, format=form, pes=pes)
    assert load_ledger(tmp_path).port_counts.any()


@pytest.mark.wide
def test_every_format_placement_and_price_has_the_same_events_and_they_are_those_of_the_plain_reference(small, tmp_path):
    reports = [
        report_of(small, tmp_path, verify=True),
        report_of(small, tmp_path, format="packed", pes=3),
        report_of(small, tmp_path, format="dense", pes=7, mapping="balanced"),
        report_of(small, tmp_path, format="array", chips=2, pes=6, verify=True),
        report_of(small, tmp_path, format="vectors", pes=4, verify=True),
    ]
    assert len({report["events"]["sha256"] for report in reports}) == 1
    assert len({report["result"]["perplexity"] for report in reports}) == 1
    assert reports[0]["verify"]["difference"] is None
    assert reports[0]["verify"]["compared"] == 25 * (24 + 24 + UNITS)
    assert len({report["modelled"]["time_s"] for report in reports}) == len(reports)


def test_a_batch_has_the_events_of_its_sequences_alone_and_the_array_takes_four_in_the_cycles_of_one(small, tmp_path):
    two = report_of(small, tmp_path, batch=2, tokens=20, format="array", verify=True)
    assert two["verify"]["difference"] is None
    assert product_cycles(4, 768, 12) - product_cycles(1, 768, 12) == 3 * 3  # what leaves the array alone


def test_int8_says_what_float32_says_to_within_its_grid(small, source, tmp_path):
    quantised, plain = report_of(small, tmp_path), report_of(source, tmp_path)
    assert quantised["events"]["sha256"] != plain["events"]["sha256"]
    assert quantised["result"]["perplexity"] == pytest.approx(plain["result"]["perplexity"], rel=0.01)


def test_a_row_of_the_reference_is_the_sum_of_products_times_both_scales():
    network, ports = quantise_egru(NETWORK, **SCALES)
    layer, heard = network.populations[1], np.random.default_rng(1).normal(0, 0.5, UNITS).astype(np.float32)
    numbers = numbers_of(network.populations[0], heard)
    assert numbers.dtype == np.int8
    sums = layer.projections[0].weights.to_dense().astype(np.int64) @ numbers.astype(np.int64)
    exact = NETWORK.populations[1].projections[0].weights.to_dense().astype(np.float64) @ heard
    assert sums * layer.vectors["input_scale"] == pytest.approx(exact, abs=0.1)
    assert [port.sum_bits <= 24 for port in ports] == [True] * 6


def test_an_event_whose_number_would_be_zero_is_none_and_takes_nothing_from_the_cell():
    coarse, _ = quantise_egru(NETWORK, **{**SCALES, "event_scales": dict.fromkeys((1, 2, 3), 1.0)})
    fine, _ = quantise_egru(NETWORK, **SCALES)
    rows = [numbers_of(fine.populations[0], row) for row in seeded_embedding(12, UNITS, seed=5)]
    sent = {}
    for name, network in (("coarse", coarse), ("fine", fine)):
        reference = Reference(network)
        sent[name] = np.array([reference.step({0: row}, fresh=not at)[1][0] for at, row in enumerate(rows)])
    assert (sent["coarse"] != 0).sum() < (sent["fine"] != 0).sum()
    assert set(np.unique(sent["coarse"])) <= {0, 1}


def test_four_bits_of_weights_and_events_lie_on_their_grids(source, tmp_path, capsys):
    target = tmp_path / "four"
    assert main(["quantise", str(source), str(target), "--weights", "4", "--events", "4", "--scales", "float"]) == 0
    assert "egru1" in capsys.readouterr().out
    model = load(target)
    assert max(np.abs(weights.values.astype(int)).max() for weights in model.network.weights) == 7
    assert {model.network.populations[n].params["most_event"] for n in model.network.layers} == {7.0}
    assert model.provenance["quantised"]["weights"] == 4


@pytest.fixture(scope="module")
def four(source):
    """The same with weights of four bits and cell states of eight, by the command."""
    target = source.with_name("four.safetensors")
    assert main(["quantise", str(source), str(target), "--weights", "4", "--cell", "8"]) == 0
    return target


@pytest.mark.wide
def test_two_weights_a_byte_have_the_events_of_one_a_byte_in_every_format_and_on_the_array(four, tmp_path):
    """And those of the plain reference, which knows of neither; with cell states of a byte."""
    model = load(four)
    layers = [
        replace(layer, projections=tuple(replace(p, weights=replace(p.weights, four_bits=False)) for p in layer.projections))
        for layer in model.network.populations
    ]
    apart = tmp_path / "apart.safetensors"
    save(apart, replace(model, network=Network(tuple(layers))))
    text = str(four.with_name("text.txt"))
    reports = [
        report_of(four, tmp_path, verify=True),
        report_of(four, tmp_path, format="packed", pes=3),
        report_of(four, tmp_path, format="dense", pes=7, mapping="balanced"),
        report_of(four, tmp_path, format="array", chips=2, pes=6),
        report_of(four, tmp_path, format="vectors", pes=4),
        report_of(apart, tmp_path, text=text, format="packed", pes=3),
    ]
    assert len({report["events"]["sha256"] for report in reports}) == 1
    assert reports[0]["verify"]["difference"] is None
    assert reports[0]["verify"]["compared"] == 25 * (24 + 24 + UNITS)
    packed, bytes_each = reports[1], reports[5]
    assert packed["modelled"]["time_s"] > bytes_each["modelled"]["time_s"], "each weight is shifted out of its byte"
    weights = [model.network.populations[n].projections for n in model.network.layers]
    assert {projection.weights.numeric for layer in weights for projection in layer} == {"int4"}


def test_a_batch_with_cell_states_of_a_byte_has_the_events_of_its_sequences_alone(four, tmp_path):
    two = report_of(four, tmp_path, batch=2, tokens=20, format="packed", verify=True)
    assert two["verify"]["difference"] is None


def with_trace(network: Network, decay: float = 0.8) -> Network:
    """A network whose second layer hears the trace of the first."""
    layer = network.populations[2]
    heard = tuple(replace(p, trace=decay if p.port == "input" else 0.0) for p in layer.projections)
    return replace(network, populations=(*network.populations[:2], replace(layer, projections=heard), *network.populations[3:]))


@pytest.mark.wide
def test_layers_that_hear_traces_have_the_plain_references_events_in_every_format_and_on_the_array(tmp_path):
    """Shifts are what is heard best of the samples; four bits of weights and the checkpoint on the way."""
    model = Model(with_trace(NETWORK), seeded_embedding(WORDS, UNITS, seed=3), np.zeros(WORDS, np.float32), ("<unk>", "<eos>", *(
        f"w{n}" for n in range(WORDS - 2))), 7)  # fmt: skip
    source, target = tmp_path / "traced.safetensors", tmp_path / "int8.safetensors"
    save(source, model)
    (tmp_path / "text.txt").write_text(" ".join(f"w{n * 7 % 58}" for n in range(60)), encoding="utf-8")
    flags = ["--weights", "4", "--calibrate", str(tmp_path / "text.txt"), "--samples", "20"]
    assert main(["quantise", str(source), str(target), *flags]) == 0
    heard = load(target).network.populations[2].projections_to("input")[0]
    assert 0 < heard.trace_shift <= 7
    reports = [
        report_of(target, tmp_path, format="csr", verify=True),
        report_of(target, tmp_path, format="packed", pes=3),
        report_of(target, tmp_path, format="dense", pes=7, mapping="balanced"),
        report_of(target, tmp_path, format="array", pes=6, batch=1),
        report_of(target, tmp_path, format="vectors", pes=4, chips=2),
    ]
    assert reports[0]["verify"]["difference"] is None
    assert len({report["events"]["sha256"] for report in reports}) == 1
    plain, traced = report_of(source, tmp_path), reports[0]
    assert traced["result"]["perplexity"] == pytest.approx(plain["result"]["perplexity"], rel=0.02)
    batch = report_of(target, tmp_path, format="array", batch=2, tokens=20, verify=True)
    assert batch["verify"]["difference"] is None


@pytest.mark.wide
def test_the_price_of_a_trace_of_numbers_is_what_the_table_says(tmp_path):
    """Offline as from a run: its upkeep, and a number made of each element; what is heard are the numbers that are not zero."""
    network, _ = quantise_egru(with_trace(NETWORK), **SCALES, trace_shifts={2: 2})
    model = Model(network, seeded_embedding(WORDS, UNITS, seed=3), np.zeros(WORDS, np.float32), (
        "<unk>", "<eos>", *(f"w{n}" for n in range(WORDS - 2))), 7, embedding_scale=1 / 64)  # fmt: skip
    source = tmp_path / "int8.safetensors"
    save(source, replace(model, embedding=values_of(network.populations[0], numbers_of(network.populations[0], model.embedding))))
    (tmp_path / "text.txt").write_text(" ".join(f"w{n * 7 % 58}" for n in range(60)), encoding="utf-8")
    run = report_of(source, tmp_path, format="packed")
    job = prepare(Options(checkpoint=str(source), text=str(tmp_path / "text.txt"), tokens=25, pes=5, format="packed"))
    ledger = record(job.placement, job.source, job.readout).ledger(job.placement)
    priced = price_positions(ledger, *terms_of(ledger, ()))
    assert run["modelled"]["time_s"] == pytest.approx(priced.time_s)
    more = price_positions(ledger, *terms_of(ledger, ("trace_number_cycles=115",)))
    elements = 25 * 24  # of the trace that each PE of the second layer keeps
    busiest = 100 * elements / 150e6
    assert more.time_s - priced.time_s == pytest.approx(busiest, rel=0.05)


@pytest.mark.parametrize(("shift", "trace"), [(8, 0.5), (-1, 0.5), (1, 0.0)])
def test_a_trace_that_is_heard_too_far_to_the_left_is_refused(shift, trace):
    network, _ = quantise_egru(with_trace(NETWORK, trace), **SCALES)
    layer = network.populations[2]
    heard = tuple(replace(p, trace_shift=shift if p.port == "input" else 0) for p in layer.projections)
    populations = (*network.populations[:2], replace(layer, projections=heard), *network.populations[3:])
    with pytest.raises(ModelError, match=f"egru1 to egru2: a trace {shift} bits to the left; needs 0 to {7 if trace else 0}"):
        check_network(replace(network, populations=populations))


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_weights_of_four_bits_come_back_from_half_as_many_bytes(density):
    """Of sparse layers, and of those whose rows are stored whole."""
    network, _ = quantise_egru(seeded_egru(21, (15, 21), density=density, seed=2), **SCALES, weight_bits=4)
    stored = tensors_of("it", network)
    graph = graph_of(network)
    again = network_of(Tensors.of("it", stored), graph)
    rows = network.populations[1].projections[0].weights
    values = stored["layer1.input.values" if density < 1 else "layer1.input.dense"]
    assert values.nbytes == ((rows.nonzeros + 1) // 2 if density < 1 else 45 * 11)
    for n in network.layers:
        for one, other in zip(network.populations[n].projections, again.populations[n].projections, strict=True):
            assert other.weights.numeric == "int4"
            assert np.array_equal(one.weights.to_dense(), other.weights.to_dense())


def test_weights_of_four_bits_that_are_larger_are_refused():
    with pytest.raises(ModelError, match="it: weights of 4 bits from -9 to 3; needs -8 to 7"):
        replace(SparseRows.from_dense(np.array([[-9, 3]], np.int8)), four_bits=True).check("it")


@pytest.mark.few(3)
@pytest.mark.parametrize("name", ["cell_scale", "event_scale"])
@pytest.mark.parametrize("scale", [0.0, np.nan, 2.0])
def test_a_scale_of_cell_states_or_events_that_cannot_be_is_refused(name, scale):
    network, _ = quantise_egru(NETWORK, **SCALES, int8_cell=True)
    populations = list(network.populations)
    populations[2] = replace(populations[2], params={**populations[2].params, name: scale})
    with pytest.raises(ModelError, match=rf"egru2: {name} .*; needs a number above 0, at most 1"):
        check_network(replace(network, populations=tuple(populations)))


def test_a_cell_state_of_a_byte_is_the_nearest_number_of_the_float32_one():
    """While nothing has fired, each step starts from the number of the one before."""
    networks = [quantise_egru(NETWORK, **SCALES, int8_cell=narrow)[0] for narrow in (False, True)]
    silent = [
        replace(network.populations[1], vectors={**network.populations[1].vectors, "threshold": np.ones(24, np.float32)})
        for network in networks
    ]
    wide, narrow = map(neurons_of, silent)
    rng = np.random.default_rng(4)
    sums = {port: rng.integers(-3000, 3000, 72).astype(np.int32) for port in ("input", "recurrent")}
    for neurons in (wide, narrow):
        assert not neurons.step(sums, 0).any()
    assert np.array_equal(narrow._cell, (np.rint(wide._cell * 128) / 128).astype(np.float32))


def test_a_text_says_what_layers_send(source, tmp_path):
    target = tmp_path / "calibrated"
    text = str(source.with_name("text.txt"))
    assert main(["quantise", str(source), str(target), "--calibrate", text, "--samples", "30"]) == 0
    scales = load(target).provenance["quantised"]["event_scales"]
    assert all(scales[f"egru{n}"] <= 1 / 128 for n in (1, 2, 3))
    assert load(target).provenance["quantised"]["by"].endswith("30 words of text.txt")


def test_a_scale_is_the_one_with_the_least_squared_error():
    values = np.random.default_rng(2).normal(0, 0.1, 2000)
    scale = fitted_scale("input", values, 4, powers_of_two=False)
    error = {s: np.square(np.clip(np.rint(values / s), -7, 7) * s - values).sum() for s in (scale, 2 * scale, scale / 2)}
    assert error[scale] == min(error.values())
    assert np.log2(fitted_scale("input", values, 8, powers_of_two=True)) % 1 == 0


def test_the_checkpoint_comes_back_whole_and_is_compressed(small):
    model, again = load(small), small.with_name("again")
    save(again, model)
    assert again.read_bytes() == small.read_bytes()
    numbers = numbers_of(model.network.populations[0], model.embedding)
    assert np.array_equal(values_of(model.network.populations[0], numbers), model.embedding)


def test_what_is_compressed_is_bounded_by_what_the_file_holds():
    zeros, halves = np.zeros((100, 100), np.int8), np.full(5000, 0.5, np.float32)
    stored, facts = compress({"a": zeros, "b": np.ones(3, np.float32), "c": halves})
    assert set(facts) == {"a", "c"}
    back = expanded(Tensors.of("it", stored), "lzma", facts)
    assert np.array_equal(back.read("a"), zeros) and np.array_equal(back.read("c"), halves)
    deflated = {"a": np.frombuffer(zlib.compress(zeros.tobytes(), 9), np.uint8)}  # as version 6 has it
    assert np.array_equal(expanded(Tensors.of("it", deflated), "deflated", {"a": facts["a"]}).read("a"), zeros)
    for method, tensors in (("lzma", stored), ("deflated", deflated)):
        with pytest.raises(ModelError, match=f"cannot hold 10,000,000,000 bytes, {method}"):
            expanded(Tensors.of("it", tensors), method, {"a": ["int8", [100000, 100000]]})
        for shape in ([100, 99], [100, 101]):
            with pytest.raises(ModelError, match=f"it: a: is damaged; needs [0-9,]* bytes, {method}"):
                expanded(Tensors.of("it", tensors), method, {"a": ["int8", shape]}).read("a")
        for cut in (0, 1, len(tensors["a"]) // 2, len(tensors["a"]) - 1):
            with pytest.raises(ModelError, match=r"it: a: (is damaged|.* cannot hold)"):
                expanded(Tensors.of("it", {"a": tensors["a"][:cut]}), method, {"a": ["int8", [100, 100]]}).read("a")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_no_method_makes_more_of_a_byte_than_it_says(method):
    """Zeros are the most that a stream can hold; one that claims more than `most_ratio` is refused before it is read."""
    size_bytes = 1 << 26
    zeros = bytes(size_bytes)
    stored = zlib.compress(zeros, 9) if method == "deflated" else compress({"a": np.zeros(size_bytes, np.int8)})[0]["a"]
    assert size_bytes / len(stored) < METHODS[method].most_ratio


def test_array_and_core_have_the_sums_of_the_arrays_own_kernel_and_its_cycles():
    rng = np.random.default_rng(3)
    weights, events = rng.integers(-127, 128, (21, 40)).astype(np.int8), rng.integers(-127, 128, (2, 40)).astype(np.int8)
    shape = PortShape(rows=21, gates=3, source_units=40, nonzeros=weights.size, lanes=2, weight="int8", payload="int8")
    mem = {field.name: np.zeros(field.shape, field.dtype) for field in array.fields(shape)}
    assert mem["values"].shape == (40, 32)  # 16 columns of the array at a time
    mem["values"][...] = array.encode(SparseRows.from_dense(weights), shape)["values"]
    mem |= {"sums": np.zeros((2, 21), np.int32), "counts": np.zeros((2, 2), np.uint32)}
    port = array.port(mem, shape)
    port.clear()
    port.receive(np.arange(80, dtype=np.uint32), events.reshape(-1).copy(), 80)
    expected = np.zeros((2, 21), np.int32)
    mac_matmul(events, np.ascontiguousarray(weights.T), 0, 0, False, expected)
    for lane in range(2):
        port.product(lane=lane)
    assert np.array_equal(mem["sums"], expected)
    for lanes, depth, columns in ((1, 64, 12), (4, 768, 16), (5, 100, 33), (1, 512, 48)):
        assert product_cycles(lanes, depth, columns) == matmul_cycles(lanes, depth, columns)


def test_array_is_offered_for_bytes_alone(small):
    assert "array" in names_for(load(small).network.weights)
    assert "array" not in names_for(NETWORK.weights)


@pytest.mark.wide
def test_the_outlook_prices_each_form_as_its_run_is_priced_and_says_what_is_not_there(small, source, tmp_path):
    options = {"text": str(source.with_name("text.txt")), "tokens": 25, "pes": 5}
    forms = [("published", source, "csr"), ("packed", small, "packed"), ("sparse", small, "vectors")]
    rows = [
        OutlookRow(title, "perplexity 7.00", Options(checkpoint=str(path), format=form, **options), 25)
        for title, path, form in forms
    ]
    priced = _outlook.priced_forms([*rows, OutlookRow("bold", "", None, note="not shipped")])
    run = report_of(small, tmp_path, format="vectors")
    assert priced[2].each_ms * 25 == pytest.approx(1e3 * run["modelled"]["time_s"])
    assert priced[2].each_mj * 25 == pytest.approx(1e3 * run["modelled"]["energy_j"])
    assert priced[2].with_unit.time_s < priced[2].priced.time_s
    table = _outlook.outlook_table([priced])
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["published", "packed", "sparse", "bold"]
    assert table.splitlines()[-1].split("|")[2].strip() == "not shipped"
    shares = _outlook.relative([priced])
    assert shares["published"] == (1.0, 1.0)
    assert set(shares) == {"published", "packed", "sparse"}
    page = f"before\n{_outlook.BEGIN}\nold\n{_outlook.END}\nafter\n"
    assert _outlook.inserted(page, table) == f"before\n{_outlook.BEGIN}\n{table}\n{_outlook.END}\nafter\n"
    with pytest.raises(HostError, match=r"needs .* once each, around the table"):
        _outlook.inserted("no marks", table)


def test_a_quality_is_that_of_the_numbers_that_a_checkpoint_holds():
    scored = {"test_carried": {"perplexity": 31.2}}
    assert perplexity_on_test(scored) == 31.2
    assert perplexity_on_test(scored | {"quantised": {"weights": 8}}) is None, "31.2 is of the float32 model"
    assert perplexity_on_test(scored | {"quantised": {"weights": 8, "test_perplexity": 31.3}}) == 31.3
    assert perplexity_on_test(scored | {"quantised": {"weights": 8}, "settings": {"bits": 8}}) == 31.2, "it was scored in 8 bits"
    for rows in (lm_outlook.outlook_rows(), dvs_outlook.outlook_rows()):
        assert rows[0].options is not None
        assert rows[0].title.endswith("as published")


def test_the_outlook_is_of_the_shipped_models(capsys, tmp_path):
    assert main(["paper", "seeded", "--outlook", "--out", str(tmp_path / "o")]) == 2
    assert capsys.readouterr().err.strip().endswith("paper --outlook: is of the shipped models, not of seeded; leave it out")


def test_as_processes_over_zeromq_int8_is_what_it_is_in_memory(small, tmp_path):
    """One small run with a process a PE."""
    text = str(small.with_name("text.txt"))
    flags = ["--text", text, "--tokens", "25", "--pes", "3", "--format", "vectors", "--verify", "--no-monitor", "--no-pictures"]
    assert main(["lm", str(small), *flags, "--out", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["events"]["sha256"] == report_of(small, tmp_path, format="packed", pes=4)["events"]["sha256"]


def changed(layer: int, **vectors) -> Network:
    network, _ = quantise_egru(NETWORK, **SCALES)
    populations = list(network.populations)
    populations[layer] = replace(populations[layer], vectors={**populations[layer].vectors, **vectors})
    return replace(network, populations=tuple(populations))


@pytest.mark.parametrize("number", [0.0, np.nan, -1.0, np.inf])
def test_a_scale_that_cannot_be_is_refused(number):
    scales = np.full(72, 0.01, np.float32)
    scales[5] = number
    with pytest.raises(ModelError, match="egru1: input_scale of row 5"):
        check_network(changed(1, input_scale=scales))


def test_a_sum_that_the_arrays_accumulators_do_not_hold_is_refused():
    network, _ = quantise_egru(NETWORK, **SCALES)
    wide = SparseRows.from_dense(np.full((72, 600), 127, np.int8))
    layer = network.populations[1]
    populations = list(network.populations)
    populations[0] = replace(populations[0], units=600)
    populations[1] = replace(layer, projections=(replace(layer.projections[0], weights=wide), layer.projections[1]))
    with pytest.raises(
        ModelError, match=r"egru1, port 'input': a sum may reach 9,753,600, and accumulators of 24 bits hold 8,388,607"
    ):
        check_network(replace(network, populations=tuple(populations)))


def test_a_text_without_a_word_of_the_models_is_refused(source, tmp_path, capsys):
    strange = tmp_path / "strange.txt"
    strange.write_text("nothing of that is known", encoding="utf-8")
    assert main(["quantise", str(source), str(tmp_path / "x"), "--calibrate", str(strange)]) == 2
    assert "none of its 5 words is the model's (60)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--weights", "5"], "--weights 5: needs 8 or 4"),
        (["--cell", "4"], "--cell 4: needs 8"),
        (["--scales", "round"], "--scales round: needs pow2 or float"),
        (["--bits", "6"], "--bits 6: is for spiking networks; an EGRU takes --weights and --events"),
        (["--per-channel"], "--per-channel: is for spiking networks"),
        (["--overflow", "wrap"], "--overflow: is for DNNs"),
        (["--samples", "0"], "--samples 0: needs 1 to 100,000"),
        (["--calibrate", "nowhere.txt"], "--calibrate nowhere.txt: "),
    ],
)
def test_flags_that_do_not_go_together_are_refused(source, tmp_path, capsys, arguments, says):
    assert main(["quantise", str(source), str(tmp_path / "x"), *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_what_is_quantised_already_is_refused_and_so_are_other_layers(small, tmp_path, capsys):
    assert main(["quantise", str(small), str(tmp_path / "x")]) == 2
    assert "its weights and events are int8 already" in capsys.readouterr().err
    with pytest.raises(ModelError, match="neurons of egru_cell, egru_gate"):
        quantise_egru(seeded_egru(UNITS, (8, UNITS), density=0.4, seed=1, inside=True), **SCALES)
    with pytest.raises(ModelError, match="what its input sends is not known"):
        samples_of(Model(NETWORK), None, None)

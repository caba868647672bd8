"""What a NIR file does not say is inferred where one exporter fits, reported with its reason, and chosen by the user elsewhere."""

from __future__ import annotations

import re

import numpy as np
import pytest

from models.foreign.nir_conventions import Choices
from models.network import ModelError
from models.spiking import FORMS, RESETS
from tests.tools.nir_files import chain, conv2d, graph, imported, lif, linear, neuron_if, port, stepped, without, write

RNG = np.random.default_rng(5)
W = RNG.normal(size=(5, 4)).astype(np.float32)
X = (RNG.random((60, 4)) < 0.5).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.nir"


def dense(neuron, *, weight=W, bias=None):
    return chain(("in", port("Input", 4)), ("fc", linear(weight, bias)), ("n", neuron), ("out", port("Output", 5)))


def pooled(kind="SumPool2d"):
    pool = {"type": kind, "kernel_size": 2, "stride": 2, "padding": 0}
    return chain(
        ("in", port("Input", 1, 6, 6)), ("c", conv2d(np.ones((2, 1, 3, 3)))), ("n", neuron_if((2, 4, 4))), ("p", pool),
        ("f", {"type": "Flatten", "start_dim": 0, "end_dim": -1}), ("fc", linear(np.ones((3, 8)))),
        ("m", neuron_if(3)), ("out", port("Output", 3)),
    )  # fmt: skip


def rlif(tau, r=None, **changes):
    """Return a LIF of five units with time constants tau; r is 1 unless it is given."""
    tau, ones = np.broadcast_to(np.asarray(tau, np.float32), 5), np.ones(5)
    node = {"type": "LIF", "tau": tau, "r": ones if r is None else r, "v_leak": 0 * ones, "v_reset": 0 * ones}
    return without(node | {"v_threshold": ones} | changes)


def cuba(tau_syn, tau_mem, *, r, w_in, **changes):
    ones = np.ones(5)
    node = {"type": "CubaLIF", "tau_syn": tau_syn * ones, "tau_mem": tau_mem * ones, "r": r * ones, "v_leak": 0 * ones,
            "w_in": None if w_in is None else w_in * ones, "v_threshold": ones, "v_reset": 0 * ones}  # fmt: skip
    return without(node | changes)


ON_GRID = np.arange(-10, 10).reshape(5, 4) / 64


def lava():
    raw = np.array([410.0, 512, 100, 4096, 77])
    tau = 1e-4 * 4096 / raw
    return dense(rlif(tau, r=tau / 1e-4, v_threshold=np.full(5, 80 / 64)), weight=ON_GRID)


def rockpool():
    tau = np.linspace(5e-3, 3e-2, 5)
    return dense(cuba(tau / 2, tau, r=tau * np.exp(-1e-3 / tau) / 1e-3, w_in=1.0))


INFERRED = {
    "snntorch": (dense(lif(5)), {"dt": 1e-4, "reset": "subtract-late", "fire": "gt", "multi_spike": False}),
    "snntorch, without v_reset": (dense(lif(5, v_reset=None)), {"exporter": "snntorch", "reset": "subtract-late"}),
    "snntorch, beta of 1": (dense(rlif(np.inf, r=np.full(5, np.inf))), {"dt": 1e-4, "exporter": "snntorch"}),
    "snntorch, current": (
        dense(cuba(2.5e-4, 1e-3, r=9.99999762, w_in=2.5)), {"dt": 1e-4, "exporter": "snntorch", "reset": "subtract-late"},
    ),
    "lava": (lava(), {"dt": 1e-4, "exporter": "lava", "reset": "zero", "fire": "ge"}),
    "rockpool": (rockpool(), {"dt": 1e-3, "exporter": "rockpool", "integrator": "exponential", "multi_spike": True, "fire": "ge"}),
    "norse 1.1.0": (dense(rlif(1e-5)), {"dt": 1e-6, "exporter": "norse", "integrator": "forward", "reset": "zero", "fire": "gt"}),
    "sinabs": (
        pooled(), {"exporter": "sinabs", "reset": "subtract", "fire": "ge", "multi_spike": True, "floor": "minus-threshold"},
    ),
    "spikingjelly, IF": (dense(neuron_if(5, r=np.full(5, 1e4), v_reset=np.zeros(5))), {"dt": 1e-4, "reset": "zero", "fire": "ge"}),
    "spikingjelly, v_reset": (
        dense(rlif(3e-4, v_leak=np.full(5, -0.5), v_reset=np.full(5, -0.5)), bias=np.ones(5)),
        {"choose": {"exporter": "spikingjelly"}, "dt": 1e-4, "reset": "zero", "fire": "ge", "start": "leak"},
    ),
}  # fmt: skip


@pytest.mark.few(5)
@pytest.mark.parametrize("name", INFERRED)
def test_an_exporter_is_known_by_its_numbers(path, name):
    root, expected = INFERRED[name]
    expected = dict(expected)
    reading = imported(path, root, **expected.pop("choose", {})).reading
    for key, value in expected.items():
        have = getattr(reading.convention, key)
        assert have == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), key


@pytest.mark.few(5)
@pytest.mark.parametrize("name", INFERRED)
def test_what_is_inferred_is_said_with_its_reason_and_the_flag(path, name):
    root, expected = INFERRED[name]
    lines = dict(imported(path, root, **expected.get("choose", {})).reading.lines)
    assert re.match(r"[a-z]+: .{10,}", lines["read as"])
    assert re.search(r"not in the file; other: --reset\)$", lines["reset"])
    assert re.search(r"not in the file; other: --fire\)$", lines["fire"])


INFERRED |= {
    "norse, IF": (dense(neuron_if()), {"exporter": "norse", "reset": "zero", "fire": "gt", "multi_spike": False}),
    "norse, IF and means": (pooled("AvgPool2d"), {"exporter": "norse", "reset": "zero"}),
}
UNDECIDED = {
    "a step": (dense(rlif(2.5e-3, v_reset=None)), {"dt": 1e-4}, r"a step is not in the file \(time constants 0.0025 .*--dt"),
    "a step of numbers of nobody's": (dense(rlif(2e-2, r=np.full(5, 3.0))), {"dt": 1e-3}, "not in the file .*--dt"),
    "snntorch or spikingjelly": (
        dense(lif(5, beta=0.5)), {"exporter": "snntorch"},
        "may be snntorch .* or spikingjelly .* choose with --exporter snntorch or --exporter spikingjelly, or with --reset, --fire",
    ),
    "snntorch or spikingjelly, by reset": (dense(lif(5, beta=0.75)), {"reset": "subtract-late"}, "may be"),
    "snntorch or lava": (dense(lif(5, beta=0.875), weight=ON_GRID), {"exporter": "snntorch"}, "may be snntorch .* or lava "),
    "snntorch or lava, without a leak": (
        dense(lif(5, tau=np.full(5, np.inf), r=np.full(5, np.inf)), weight=ON_GRID), {"reset": "subtract-late"},
        "may be snntorch .* or lava .*--reset, --fire",
    ),
    "norse or spikingjelly": (dense(rlif(2e-4)), {"exporter": "spikingjelly"}, "may be norse .* or spikingjelly "),
    "sinabs or norse": (dense(neuron_if(5)), {"exporter": "sinabs"}, "may be sinabs .* or norse .*--reset, --fire, --multi-s"),
    "sinabs or norse, by reset": (dense(neuron_if(5)), {"reset": "zero"}, "may be sinabs"),
    "sinabs with or without norm_input": (dense(rlif(20.0)), {"gain": "one"}, "may be sinabs .*; choose with --gain of"),
    "where a membrane begins": (
        dense(rlif(2e-2, v_leak=np.full(5, 0.1))), {"dt": 1e-3, "start": "zero"}, "may be norse .* or nir .* choose with .*--start"
    ),
    "where a membrane begins, by exporter": (
        dense(rlif(2e-2, v_leak=np.full(5, 0.1))), {"dt": 1e-3, "exporter": "norse"}, "--exporter norse or --exporter nir"
    ),
}  # fmt: skip


@pytest.mark.few(3)
@pytest.mark.parametrize("name", UNDECIDED)
def test_what_two_would_compute_otherwise_is_refused_until_one_is_chosen(path, name):
    root, choice, message = UNDECIDED[name]
    write(path, root)
    with pytest.raises(ModelError) as error:
        imported(path)
    assert re.search(message, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)
    reading = imported(path, **choice).reading
    for key, value in choice.items():
        assert getattr(reading.convention, key) == value


def test_a_choice_stands_in_the_place_of_what_was_inferred(path):
    write(path, dense(lif(5)))
    choices = {"reset": "zero", "fire": "ge", "multi_spike": True, "floor": "minus-threshold", "integrator": "exponential"}
    of = imported(path, dt=2e-4, **choices)
    params = of.network.populations[1].params
    assert params == {
        "form": FORMS.index("decay"), "reset": RESETS.index("zero"), "fire_at_threshold": 1.0, "multi_spike": 1.0, "floor": 1.0
    }  # fmt: skip
    lines = dict(of.reading.lines)
    assert lines["reset"] == "zero (chosen)"
    assert lines["step"] == "0.0002 of the file's unit of time (chosen)"
    rate = np.exp(-2e-4 / lif(5)["tau"].astype(np.float64))
    np.testing.assert_allclose(of.network.populations[1].vectors["rate"], rate, rtol=1e-6)
    np.testing.assert_allclose(of.network.populations[1].vectors["gain"], (1 - rate) * lif(5)["r"], rtol=1e-6)


def test_resets_differ_in_their_spikes(path):
    """Each kind of reset, compare and floor gives spikes of its own, by the equations."""
    write(path, dense(lif(5, v_threshold=np.full(5, 0.5)), weight=np.round(W * 4) / 4))
    rate = imported(path).network.populations[1].vectors["rate"]
    sums = X @ (np.round(W * 4) / 4).T

    def plainly(reset, fires):
        v, earlier, rows = np.zeros(5, np.float32), np.zeros(5, bool), []
        for x in sums.astype(np.float32):
            v = rate * v + x
            if reset == "subtract-late":
                v = v - np.float32(0.5) * earlier
            z = fires(v, np.float32(0.5))
            v = np.where(z, 0, v) if reset == "zero" else v - np.float32(0.5) * z if reset == "subtract" else v
            earlier = z
            rows.append(z)
        return np.stack(rows)

    seen = set()
    for reset in ("zero", "subtract", "subtract-late"):
        for fire, fires in (("gt", np.greater), ("ge", np.greater_equal)):
            sent = stepped(imported(path, reset=reset, fire=fire), X)["n"]
            assert np.array_equal(sent, plainly(reset, fires)), (reset, fire)
            seen.add(sent.tobytes())
    assert len(seen) >= 4


def test_many_spikes_a_step_and_a_floor(path):
    write(path, dense(neuron_if(5), weight=4 * W))
    sent = stepped(imported(path, exporter="sinabs"), X)["n"]
    v, rows = np.zeros(5, np.float32), []
    for x in X @ (4 * W).T:
        v = v + x
        n = np.maximum(np.floor(v), 0)
        v = np.maximum(v - n + 1, 0) - 1
        rows.append(n)
    assert np.array_equal(sent, np.stack(rows))
    assert sent.max() > 2
    free = stepped(imported(path, exporter="sinabs", floor="none"), X)["n"]
    single = stepped(imported(path, exporter="sinabs", multi_spike=False), X)["n"]
    assert free.sum() < sent.sum()
    assert single.max() == 1


def test_the_very_decay_that_was_exported_is_found_again(path):
    """Of a beta in float32, through the tau and r that snnTorch rounds: any above 0.5, and any with two decimals."""
    trained = np.random.default_rng(1).uniform(0.5, 0.99, 400)
    betas = np.concatenate([trained, np.arange(1, 100) / 100]).astype(np.float32)
    units = len(betas)
    root = chain(("in", port("Input", units)), ("n", lif(units, beta=betas)), ("out", port("Output", units)))
    rate = imported(path, root).network.populations[1].vectors["rate"]
    assert np.mean(rate[:400] == betas[:400]) > 0.99
    assert np.array_equal(rate[400:], betas[400:])


def test_a_step_that_is_too_long_is_refused_by_node_and_place(path):
    write(path, dense(rlif(np.array([2e-3, 2e-3, 4e-4, 2e-3, 2e-3]), v_reset=None)))
    with pytest.raises(ModelError, match=r"node n \(LIF\): dt 0.001 is longer than tau 0.0004 at 2, .* --dt or --integrator exp"):
        imported(path, dt=1e-3)
    imported(path, dt=1e-3, integrator="exponential")
    write(path, dense(cuba(5e-4, 2e-3, r=1.0, w_in=1.0)))
    with pytest.raises(ModelError, match=r"node n \(CubaLIF\): dt 0.001 is longer than tau_syn 0.0005 at 0"):
        imported(path, dt=1e-3, exporter="norse")


def test_a_reset_by_subtraction_to_a_value_is_refused(path):
    write(path, dense(rlif(2e-2, v_reset=np.array([0, 0, 0, 0.25, 0]))))
    with pytest.raises(ModelError, match=r"node n \(LIF\): v_reset is 0.25 at 3, with reset subtract: .*choose --reset zero"):
        imported(path, dt=1e-3, reset="subtract")
    of = imported(path, dt=1e-3)
    assert of.network.populations[1].vectors["reset"].tolist() == [0, 0, 0, 0.25, 0]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"dt": 0.0}, "--dt 0.0: needs a finite number above 0"), ({"dt": float("nan")}, "--dt nan"), ({"dt": -1.0}, "--dt -1"),
        ({"reset": "soft"}, "--reset 'soft': needs zero or subtract or "), ({"fire": ">"}, "--fire '>': needs gt or ge"),
        ({"integrator": "euler"}, "--integrator 'euler': needs forward or ex"), ({"floor": "0"}, "--floor-v '0': needs none"),
        ({"exporter": "nest"}, "--exporter 'nest': needs snntorch or "), ({"gain": "two"}, "--gain 'two'"),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_is_refused(path, choice, message):
    write(path, dense(lif(5)))
    with pytest.raises(ModelError, match=re.escape(message)):
        imported(path, **choice)
    assert Choices().check("who") is None


# Loops.


def loop(*, twice=False):
    """Return two populations that hear each other; the input feeds one of them, or both."""
    rng = np.random.default_rng(2)
    nodes = {"in": port("Input", 4), "fc": linear(W), "a": lif(5), "ab": linear(rng.normal(size=(5, 5))), "b": lif(5, beta=0.8),
             "ba": linear(rng.normal(size=(5, 5))), "out": port("Output", 5)}  # fmt: skip
    edges = [("in", "fc"), ("fc", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "a"), ("b", "out")]
    return graph(nodes, [*edges, ("fc", "b")] if twice else edges)


def delays(of):
    numbers = {node: number for number, node in enumerate(of.nodes)}
    return {(of.nodes[p.source], node): p.delay for node in "ab" for p in of.network.populations[numbers[node]].projections}


def test_the_late_edge_of_a_loop_leads_back_to_where_it_is_entered(path):
    of = imported(path, loop())
    assert delays(of) == {("in", "a"): 0, ("b", "a"): 1, ("a", "b"): 0}
    assert of.notes == ("b to a comes 1 step late: it leads back to a, where the loop is entered; not in the file, other: --delay",)


def test_a_loop_that_is_entered_twice_needs_a_choice(path):
    write(path, loop(twice=True))
    both = r"loop of a, b: is entered at a and b, .* choose with --delay a>b=1 or --delay b>a=1"
    with pytest.raises(ModelError, match=both):
        imported(path)
    sent = []
    for late, other in (("b>a=1", ("a", "b")), ("a>b=1", ("b", "a")), ("a>b=2", ("b", "a"))):
        of = imported(path, delays=(late,))
        assert delays(of)[other] == 0
        assert f"{late[0]} to {late[2]} comes {late[-1]} step" in of.notes[0]
        sent.append(stepped(of, X)["b"])
    assert not np.array_equal(sent[0], sent[1])


def test_a_chosen_delay_may_name_any_edge(path):
    of = imported(path, loop(), delays=("ba>a=3",))
    assert delays(of)[("b", "a")] == 3


@pytest.mark.parametrize(
    ("late", "message"),
    [
        ("a", "--delay 'a': needs SOURCE>TARGET=STEPS"), ("a>b", "needs SOURCE>TARGET"), ("a>b=0", "needs SOURCE>TARGET"),
        ("a>c=1", "--delay a>c: no node c; has neurons and inputs a, b, in"), ("in>b=1", "--delay in>b: b does not hear in"),
    ],
)  # fmt: skip
def test_a_delay_that_cannot_be_is_refused(path, late, message):
    write(path, loop())
    with pytest.raises(ModelError, match=re.escape(message)):
        imported(path, delays=(late,))

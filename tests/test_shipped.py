"""The models that come with the project are what docs/model.md says, and give their trainer's perplexities anywhere."""

import re

import numpy as np
import pytest

from host.mapping.placement import place
from host.workloads.lm import SHIPPED as SHIPPED_NAME
from host.workloads.site import shipped_path
from models.checkpoint import load
from models.training.language.settings import LanguageSettings
from noc.chip import load_chip

SHIPPED = shipped_path(SHIPPED_NAME)
TINY = SHIPPED.with_name("tiny.safetensors")
# Of the tiny model's first 70 test positions: the same on every machine, as the one-answer rule has it.
TINY_GOLDEN = "33d5ccd55bcb95a23724499b1f8dd808a24d56b9119b10edcc4b186209ce73ca"


@pytest.fixture(scope="module", params=[SHIPPED, TINY], ids=["lm", "tiny"])
def shipped(request):
    return request.param, load(request.param)


def settings_of(model):
    return LanguageSettings.of(model.provenance["settings"])


def test_files_are_small():
    assert SHIPPED.stat().st_size <= 20e6
    assert TINY.stat().st_size < 300e3


def test_no_file_names_a_folder_of_the_machine_that_made_it():
    files = [path for pattern in ("*.safetensors", "*.nir", "*/*.safetensors") for path in SHIPPED.parent.glob(pattern)]
    assert len(files) > 10
    for path in files:
        assert not re.findall(rb'"(?:/[\w.-]+){2,}\\*"', path.read_bytes()), path


def test_every_weight_matrix_is_pruned_as_its_settings_say(shipped):
    _, model = shipped
    target = settings_of(model).sparsity
    for number in model.network.layers:
        for projection in model.network.populations[number].projections:
            rows, columns = projection.weights.shape
            kept = round((1 - target) * rows * columns)
            assert 0.998 * kept <= projection.weights.nonzeros <= kept  # one that is kept may have come to be zero


def test_the_papers_sizes():
    model = load(SHIPPED)
    assert [population.units for population in model.network.populations] == [750, 1350, 1350, 750]
    assert settings_of(model).sparsity == 0.95


def test_text_state_and_licence_are_in_the_file(shipped):
    _, model = shipped
    assert {split: len(words) > 25_000 for split, words in model.tokens.items()} == {"valid": True, "test": True}
    assert model.state == settings_of(model).state
    assert "PSF" in model.text_licence


def test_activity_is_between_10_and_30_percent_a_layer(shipped):
    _, model = shipped
    for split in ("valid", "test"):
        for share in model.provenance[f"{split}_{model.state}"]["activity"]:
            assert 0.1 <= share <= 0.3


@pytest.mark.wide
@pytest.mark.timeout(120)
@pytest.mark.parametrize("state", ["carried", "zeroed"])
@pytest.mark.slow_but("lm-carried", "tiny-carried", "tiny-zeroed")
def test_the_emulator_gives_the_trainers_own_perplexity(run, shipped, state):
    path, model = shipped
    (wanted,) = (one for one in model.provenance["first_tokens"] if one["state"] == state)
    pes = 150 if path == SHIPPED else 4
    outcome = run(checkpoint=str(path), text=None, split="test", state=state, tokens=wanted["tokens"], pes=pes, transport="mem")
    report = outcome.report
    assert f"{report['result']['perplexity']:.4g}" == f"{wanted['perplexity']:.4g}"
    activity = 1 - np.array(report["events"]["sparsity_by_layer"])
    assert activity == pytest.approx(model.provenance[f"test_{state}"]["activity"], abs=0.05)


@pytest.mark.wide
@pytest.mark.timeout(60)
def test_the_tiny_model_on_processes(run):
    outcome = run(checkpoint=str(TINY), text=None, tokens=70, pes=3, mapping="balanced", verify=True)
    assert (outcome.code, outcome.mismatch["difference"]) == (0, None)
    assert outcome.report["events"]["sha256"] == TINY_GOLDEN


@pytest.mark.wide
def test_the_paper_size_fits_150_pes_and_the_fewest_are_no_more_than_for_random_weights():
    network, chip = load(SHIPPED).network, load_chip()
    weights = place(network, chip, "uniform", "csr", 150).worst()["weights"]
    assert weights == pytest.approx(88_300, rel=0.025)  # the paper's Table I
    assert len(place(network, chip, "balanced", "csr", None).pes) <= 112
    assert len(place(network, chip, "balanced", "packed", None).pes) <= 75

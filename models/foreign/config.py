"""The `config.yaml` of an EvNN run: what its command line was, as far as an import needs it.

It knows names and sizes, not tensors. YAML is read by PyYAML's safe loader, which builds plain data alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.input_file import InputError, read_input
from models.network import ModelError

NAME = "config.yaml"
MAX_BYTES = 1 << 20
MAX_FACTS = 200


@dataclass(frozen=True)
class Config:
    """The file's path (None: there is none) and what it says, by name; a value wrapped as {value: ...} is opened."""

    path: Path | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> int | None:
        """Return a whole number of at least 1, None where the file has none; ModelError for anything else."""
        value = self.values.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise ModelError(f"config {self.path}: {name} needs a whole number of at least 1, has {_short(value)}")
        return value

    def zoneout(self) -> float | None:
        """Return the zoneout, under whatever name has the word in it; None where there is none."""
        zoneouts = {name: value for name, value in self.values.items() if "zoneout" in name and value is not None}
        if not zoneouts:
            return None
        value = next(iter(zoneouts.values()))
        if len(zoneouts) > 1 or type(value) not in (int, float) or not 0 <= value <= 1:
            raise ModelError(f"config {self.path}: needs one zoneout from 0 to 1, has {_short(zoneouts)}; say it with --zoneout")
        return float(value)

    def prunes(self) -> str:
        """Return the setting by which units or weights were pruned, as `name value`; "" where there is none."""
        kinds = (int, float)
        given = ((k, v) for k, v in self.values.items() if "prun" in k and (v is True or (type(v) in kinds and v > 0)))
        return next((f"{_short(name)} {value}" for name, value in given), "")

    def facts(self) -> dict[str, Any]:
        """Return the numbers and truth values, for a record; texts may be names of somebody's folders and stay out."""
        kinds = (int, float, bool)
        facts = [(k, v) for k, v in self.values.items() if type(v) in kinds and abs(v) < 1e300 and len(k) < 60]
        return dict(facts[:MAX_FACTS])


def beside(checkpoint: Path) -> Config:
    """Return the configuration beside `checkpoint`, or above its folder `checkpoints`; an empty one where there is none.

    ModelError for a file that is no YAML of plain names and values.
    """
    above = checkpoint.absolute().parent
    places = [checkpoint.parent, *([above.parent] if above.name == "checkpoints" else [])]
    path = next((place / NAME for place in places if (place / NAME).is_file()), None)
    if path is None:
        return Config()
    import yaml  # of no use to those who bring no such file

    try:
        values = yaml.safe_load(read_input(path, MAX_BYTES))
    except InputError as error:
        raise ModelError(f"config {path}: {error}") from error
    except Exception as error:  # of yaml's half a dozen kinds, decoding, recursion
        why = ascii(" ".join(str(getattr(error, "problem", None) or error).split())[:160])[1:-1]
        raise ModelError(f"config {path}: no YAML of plain values ({why})") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ModelError(f"config {path}: needs names and values, has {_short(values)}")
    return Config(path, {name: v["value"] if isinstance(v, dict) and "value" in v else v for name, v in values.items()})


def _short(value: Any) -> str:
    from reprlib import repr as short

    return " ".join(ascii(short(value)).strip("\"'").split())

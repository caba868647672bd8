"""Names in a pickle that make plain data: what trainers leave beside the weights, which an import passes over.

The reader builds nothing of them (`unpickle.py`), so this list is no wall against code: it tells what is commonly there from
what is refused by its name. A name that is missing here costs its user one line of Python, which the refusal names.
"""

_PACKAGES = (
    "argparse", "collections", "datetime", "decimal", "fractions", "pathlib", "types", "typing", "uuid",
    "numpy", "pandas", "torch.optim", "torchmetrics",
    "easydict", "lightning", "lightning_fabric", "lightning_utilities", "munch", "omegaconf", "pytorch_lightning", "yacs",
)  # fmt: skip
_NAMES = frozenset((
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set", "slice",
        "str", "tuple",
    )),
    "_codecs encode", "copyreg _reconstructor", "copy_reg _reconstructor",
    *(f"torch {name}" for name in (
        "device", "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "strided",
    )),
))  # fmt: skip

_SYSTEM = (
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "builtins",
    "__builtin__",
    "shutil",
    "socket",
    "importlib",
    "runpy",
    "pty",
    "ctypes",
)


def is_of_system(words: str) -> bool:
    """Tell whether `words` are of a module that no trainer's data is of, but that what does harm begins with."""
    return words.partition(" ")[0].partition(".")[0] in _SYSTEM


def is_inert(words: str) -> bool:
    """Tell whether `words`, a module and a name, are known to make plain data."""
    module, _, name = words.partition(" ")
    inside = any(module == package or module.startswith(f"{package}.") for package in _PACKAGES)
    return words in _NAMES or (inside and name.isidentifier())

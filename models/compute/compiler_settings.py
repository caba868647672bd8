"""Numba's settings, which a user may have left in the environment from other work: they are looked at before anything compiles."""

import importlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from models.network import ModelError, in_one_line

_FILE = ".numba_config.yaml"  # which numba reads in the current folder
_PLACE = "NUMBA_CACHE_DIR"  # no setting of the compiler's


def load_compiler() -> None:
    """Import numba; ModelError, one line that names the setting, where it cannot be loaded or would not compile."""
    with warnings.catch_warnings():
        # Else numba goes on with another value, and prints a traceback.
        warnings.filterwarnings("error", message="Environment variable 'NUMBA_", category=RuntimeWarning)
        try:
            import numba
        except ModuleNotFoundError:
            raise
        except Exception as error:  # of whatever kind a setting's check raises
            why = in_one_line(error).partition(" The parse failed")[0]
            raise ModelError(f"the compiler of kernels, numba, cannot be loaded{_with_settings()}: {why}") from error
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at import, by name
        raise ModelError("NUMBA_DISABLE_JIT is set: kernels need the compiler; unset it")
    _check_processor(numba.config)


def load_array_types() -> None:
    """Load what numba knows of arrays, but without scipy, which it takes for products of matrices: no kernel has one, and it is a
    tenth of a second.
    """
    products = "scipy.linalg.cython_blas"
    if products in sys.modules:
        return
    sys.modules[products] = None  # type: ignore[assignment]  # says that there is none
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[products]


def _check_processor(config: Any) -> None:
    """Raise ModelError where kernels would be compiled for another processor than this one, and end by SIGILL."""
    name, features = config.CPU_NAME, config.CPU_FEATURES
    if name not in (None, "", "host", "generic") or (features and name != "generic"):
        what = f"NUMBA_CPU_NAME={name}" if name else f"NUMBA_CPU_FEATURES={features}"
        raise ModelError(f"{what}: kernels run on the processor that compiles them; unset it, or set NUMBA_CPU_NAME=generic")
    from llvmlite import binding

    here = binding.get_host_cpu_features()
    lacking = [feature for feature in (features or "").split(",") if feature.startswith("+") and not here.get(feature[1:])]
    if lacking:
        raise ModelError(f"NUMBA_CPU_FEATURES={features}: this processor lacks {', '.join(lacking)}; unset it")


def explain(error: Exception) -> ModelError | None:
    """Return the line for an error of the compiler where a user's settings may be its cause; None where there are none."""
    settings = _with_settings()
    return ModelError(f"kernels cannot be compiled{settings}: {in_one_line(error)}") if settings else None


def _with_settings() -> str:
    """Return " with NAME=VALUE, ..." of what is set, "" where nothing is."""
    names = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("NUMBA_") and name != _PLACE]
    names += [f"{_FILE} in the current folder"] if Path(_FILE).is_file() else []
    return f" with {', '.join(names)} (unset what is not needed)" if names else ""

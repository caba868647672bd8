"""What the processor can for which code is compiled here."""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

from llvmlite import binding
from numba.core import config as numba_config


@cache
def features() -> frozenset[str]:
    """Return the names of what it can, as LLVM has them; none where code is compiled for another one than this."""
    config: Any = numba_config  # its names are made as it is loaded
    as_it_is = config.CPU_NAME in (None, "", "host") and not config.CPU_FEATURES
    if not as_it_is or platform.machine() != "x86_64":
        return frozenset()
    names = frozenset(name for name, has in binding.get_host_cpu_features().items() if has)
    return names if config.ENABLE_AVX else frozenset(name for name in names if not name.startswith(("avx", "vpclmul")))

"""Model families. Each module here offers

  golden_variants() -> list[Variant]           tiny checkpoints, committed under tests/golden/<module name>/
  parity_variants(seed: int) -> list[Variant]  larger ones whose sizes depend on the seed, made and thrown away

and is found by its presence in this folder.
"""

import importlib
import pkgutil
from types import ModuleType


def all_families() -> dict[str, ModuleType]:
    """Module name -> module, sorted by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}

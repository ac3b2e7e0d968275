"""Cache."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of the cache; it need not exist."""
    chosen = os.environ.get("MINT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "mint_ray"

"""Folder of downloaded and computed files that all runs of a user share."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: `MINT_CACHE`, else `~/.cache/mint_ray`. It need not exist."""
    chosen = os.environ.get("MINT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "mint_ray"

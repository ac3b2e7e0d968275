"""Seeds that depend on the purpose of a draw, not on its order or its process."""

import hashlib


def stable_seed(*parts: str | int) -> int:
    """Return a 64-bit seed from parts such as the run's seed, a purpose and a case id."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

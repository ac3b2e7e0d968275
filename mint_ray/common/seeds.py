"""Seeds that depend on what is drawn, not on the order or the process it is drawn in."""

import hashlib


def stable_seed(*parts: str | int) -> int:
    """A 64-bit seed from any parts, such as the run's seed, a purpose and a case id."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

"""Registered students as lines for people."""

from collections.abc import Iterator
from datetime import UTC, datetime

from mint_ray.errors import RegistryError
from mint_ray.tracking.registry import Registry, Version

_MEASURED = ("mrr", "top10", "nll", "ece", "coverage", "set_size")
_SHOWN = (*(f"after.{name}" for name in _MEASURED), "temperature")


def version_lines(registry: Registry) -> Iterator[str]:
    """Yield a line for every version of every student."""
    names = registry.models()
    if not names:
        yield f"no student is registered in {registry.address}; `mint promote CONFIG` registers one"
    for name in names:
        for version in registry.versions(name):
            when = datetime.fromtimestamp(version.created / 1000, UTC)
            alias = ", ".join(version.aliases) or "-"
            about = version.tags.get("decision", "")
            student = version.tags.get("mint_ray.student", "")
            yield (
                f"{name:<12} {version.number:>3}  {alias:<12} {when:%Y-%m-%d %H:%M}  "
                f"{student}  {about}"
            )


def comparison_lines(registry: Registry, name: str, first: int, second: int) -> Iterator[str]:
    """Yield lines that show lineage and metrics of two versions side by side.

    Raises:
        RegistryError: a version does not exist.
    """
    left, right = _version(registry, name, first), _version(registry, name, second)
    if left.tags.get("mint_ray.cases") != right.tags.get("mint_ray.cases"):
        yield "measured on different cases: the figures below cannot be compared"
    keys = sorted({*left.tags, *right.tags} - {*_SHOWN})
    width = max(len(key) for key in (*keys, *_SHOWN))
    yield f"{'':<{width}}  {f'version {first}':<24}  version {second}"
    for key in (*_SHOWN, *keys):
        yield f"{key:<{width}}  {left.tags.get(key, ''):<24}  {right.tags.get(key, '')}"


def _version(registry: Registry, name: str, number: int) -> Version:
    known = {version.number: version for version in registry.versions(name)}
    if number not in known:
        raise RegistryError(
            f"{name}: expected one of the versions {', '.join(map(str, sorted(known))) or '(none)'}"
            f", found {number}"
        )
    return known[number]

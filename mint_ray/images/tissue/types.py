"""Tissue types of drawn tiles, and their appearance.

SYNTHETIC schematic stand-ins: a row takes an organ's name and a few habits by which pathologists
know it, strengthened so that they can be learned from a few hundred tiles. The figures are not
measured on real tissue.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """One tissue. Lengths in µm; amounts without a unit from 0 (none) to about 1 (marked)."""

    name: str
    """Name of the organ, as in answers."""
    nucleus: float
    """Mean nuclear radius: that of the circle of equal area, in µm."""
    spread: float = 0.12
    """Standard deviation of the radius over its mean, between the nuclei of one tile."""
    elongation: float = 1.25
    """Long over short axis of a nucleus."""
    irregularity: float = 0.05
    """Amplitude of an outline's waves over the radius."""
    density: float = 3500
    """Nuclei per mm² outside glands."""
    chromatin: float = 0.9
    """Haematoxylin of a nucleus (optical density)."""
    clumps: float = 0.3
    """Contrast of chromatin clumps."""
    nucleoli: float = 0.2
    """Share of nuclei with a nucleolus."""
    fibres: float = 0.3
    """Contrast of fibres in the stroma."""
    wavelength: float = 4.0
    """Distance between fibres, in µm."""
    alignment: float = 0.3
    """Degree to which nuclei follow the direction of the fibres, 0 to 1."""
    glands: float = 0.0
    """Mean number of glands in a tile of 224 pixels."""
    gland_radius: float = 11.0
    """Radius of a gland, in µm."""
    lumen: float = 0.45
    """Radius of a gland's lumen over its own."""
    colloid: float = 0.0
    """Eosin in lumens: 0 is empty, 1 as strong as stroma."""
    crowding: float = 1.0
    """Nuclei along a gland's wall over those that fit side by side."""
    vacuoles: float = 0.0
    """Share of the cytoplasm that is clear droplets."""
    spaces: float = 0.0
    """Share of the tile that is empty space."""
    granules: float = 0.1
    """Contrast of the cytoplasm's grain."""
    basophilia: float = 0.1
    """Haematoxylin of the cytoplasm (optical density)."""
    drawn: str
    """Appearance, in words."""


TISSUES: tuple[Tissue, ...] = (
    Tissue(
        name="Breast", nucleus=3.3, spread=0.22, elongation=1.3, irregularity=0.09, density=4200,
        chromatin=0.9, clumps=0.4, nucleoli=0.3, fibres=0.85, wavelength=5.0, alignment=0.2,
        glands=1.2, gland_radius=8.0, lumen=0.25, drawn="nests in coarse collagen fibres",
    ),
    Tissue(
        name="Colon", nucleus=2.9, elongation=2.1, density=3600, chromatin=1.05, clumps=0.2,
        glands=2.2, gland_radius=15.0, lumen=0.4, crowding=1.5, fibres=0.2, basophilia=0.15,
        drawn="large glands walled by crowded, tall, dark nuclei",
    ),
    Tissue(
        name="Kidney", nucleus=2.7, spread=0.07, elongation=1.05, density=2200, chromatin=0.95,
        glands=10.0, gland_radius=8.0, lumen=0.3, crowding=0.55, fibres=0.15, granules=0.35,
        drawn="many small tubules with few round nuclei",
    ),
    Tissue(
        name="Liver", nucleus=3.4, spread=0.1, elongation=1.04, irregularity=0.02, density=3200,
        chromatin=0.8, clumps=0.5, nucleoli=0.9, fibres=0.0, granules=0.6, alignment=0.0,
        vacuoles=0.03, drawn="sheets of round nuclei with nucleoli in grainy cytoplasm",
    ),
    Tissue(
        name="Lung", nucleus=2.6, spread=0.2, elongation=1.5, irregularity=0.06, density=6000,
        chromatin=1.0, spaces=0.36, fibres=0.25, alignment=0.2,
        drawn="empty air spaces between thin walls",
    ),
    Tissue(
        name="Prostate", nucleus=2.6, spread=0.1, elongation=1.15, density=2400, chromatin=0.9,
        glands=2.0, gland_radius=14.0, lumen=0.6, crowding=0.95, fibres=0.65, wavelength=3.0,
        alignment=0.9, drawn="wide glands of small round nuclei in parallel muscle",
    ),
    Tissue(
        name="Skin", nucleus=2.9, spread=0.15, elongation=1.8, density=7000, chromatin=0.9,
        clumps=0.3, nucleoli=0.3, fibres=0.4, wavelength=8.0, alignment=0.95,
        drawn="dense layers of aligned oval nuclei",
    ),
    Tissue(
        name="Thyroid", nucleus=2.4, spread=0.08, elongation=1.1, density=2400, chromatin=1.0,
        clumps=0.15, glands=2.8, gland_radius=13.5, lumen=0.75, colloid=0.9, crowding=0.75,
        fibres=0.1, drawn="follicles filled with pink colloid",
    ),
    Tissue(
        name="Adrenal gland", nucleus=2.4, spread=0.1, elongation=1.05, density=3600,
        chromatin=0.95, vacuoles=0.35, fibres=0.0, alignment=0.0, granules=0.2,
        drawn="small round nuclei among clear droplets",
    ),
    Tissue(
        name="Bladder", nucleus=3.7, spread=0.28, elongation=1.5, irregularity=0.09, density=5600,
        chromatin=0.9, clumps=0.6, nucleoli=0.4, fibres=0.15, alignment=0.4,
        drawn="dense, large, uneven nuclei",
    ),
    Tissue(
        name="Pancreas", nucleus=2.5, spread=0.08, elongation=1.05, density=2200, chromatin=0.9,
        nucleoli=0.5, glands=13.0, gland_radius=7.0, lumen=0.05, crowding=0.7, granules=0.5,
        basophilia=0.3, fibres=0.1, drawn="small solid acini with bluish cytoplasm",
    ),
    Tissue(
        name="Testis", nucleus=4.2, spread=0.15, elongation=1.08, irregularity=0.03, density=3300,
        chromatin=0.75, clumps=0.7, nucleoli=0.95, fibres=0.1, vacuoles=0.12, alignment=0.0,
        drawn="very large pale nuclei with nucleoli, clear cytoplasm",
    ),
)  # fmt: skip


def tissues_table() -> str:
    """Return the table of docs/tiles.md, in Markdown."""
    shown = [field.name for field in fields(Tissue) if field.name not in ("name", "drawn")]
    lines = [
        "| tissue | what the tile shows | " + " | ".join(f"`{name}`" for name in shown) + " |",
        "|" + "---|" * (len(shown) + 2),
    ]
    for tissue in TISSUES:
        values = " | ".join(f"{getattr(tissue, name):g}" for name in shown)
        lines.append(f"| {tissue.name} | {tissue.drawn} | {values} |")
    return "\n".join(lines)

"""HTML reports, SVG plots, tables and cards, made from measured results; no model runs here."""

"""Report of an evaluation: its page, plots, tables and examples."""

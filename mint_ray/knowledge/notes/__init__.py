"""Findings that clinical notes affirm and deny: lines, headings, tables, sentences, triggers."""

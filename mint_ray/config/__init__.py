"""Typed configuration: sections, checks, reading from YAML, and former names of settings."""

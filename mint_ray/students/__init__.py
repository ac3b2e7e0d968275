"""Unimodal students: prompts, alignment and ranking."""

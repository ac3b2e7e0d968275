"""Unimodal students: encoding, training on preference pairs, ranking and export."""

"""Schematic stained tissue: tissue types, patients, layout, drawing and captions."""

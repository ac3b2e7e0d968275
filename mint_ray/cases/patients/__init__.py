"""Patient cases: phenopackets, simulated patients, clinical notes and the check for leaks."""

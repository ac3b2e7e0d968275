"""Sources of cases: readers, simulation, notes, faces and splits."""

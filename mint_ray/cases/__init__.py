"""Cases: the case record, its table and its splits, and the sources of patients and tiles."""

"""Model card of a promoted student, and data card of a preference dataset."""

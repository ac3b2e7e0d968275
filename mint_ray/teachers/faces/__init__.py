"""Reader of facial findings, which the teachers of patients share."""

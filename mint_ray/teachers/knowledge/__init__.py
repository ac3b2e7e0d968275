"""Disease teacher `knowledge`: the diseases whose annotations match a patient best."""

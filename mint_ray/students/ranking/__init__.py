"""Rankings of a catalogue's names by a student, and its free answers."""

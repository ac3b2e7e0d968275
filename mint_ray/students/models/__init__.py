"""Base models of students: where they come from, how they are loaded and adapted."""

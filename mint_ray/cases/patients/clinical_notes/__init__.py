"""Clinical notes as cases: tables of notes, their columns, and answers that they give away."""

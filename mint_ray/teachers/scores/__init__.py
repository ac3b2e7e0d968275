"""Teacher `scores`: a table of scores that Exomiser, LIRICAL or another program has made."""

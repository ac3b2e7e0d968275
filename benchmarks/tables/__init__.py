"""Tables of the committed results, in Markdown."""

"""Images: encoded bytes to pixels, what is measured in them, and the embedded image encoder."""

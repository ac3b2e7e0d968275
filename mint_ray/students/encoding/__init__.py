"""Encoding of notes, images and names as token ids and pixels."""

"""Images: decoding, measurements, stain shifts, drawn faces and tissue, and the image encoder."""

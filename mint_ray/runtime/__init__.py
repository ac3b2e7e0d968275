"""Ray at run time: sessions, placement, training, inference, and reports of workers."""

"""Many photos: a manifest in, mattes and a table of results out, here or on a Ray cluster."""

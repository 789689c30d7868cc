"""Batches: a manifest of photos in, mattes and a table of results out, in this process or on a Ray cluster."""

"""Arrays of any size in, mattes out."""

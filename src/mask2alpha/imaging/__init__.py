"""The only code that opens or writes an image."""

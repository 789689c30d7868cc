"""Clips: image sequences and video files in, steady mattes out. Start at job.py."""

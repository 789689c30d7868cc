"""The HTTP service: a front process that never decodes a picture, and worker processes that do all the work."""

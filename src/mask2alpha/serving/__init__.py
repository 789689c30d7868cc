"""The HTTP service: a front process that decodes no images, and worker processes that do the work."""

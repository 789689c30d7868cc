"""The exceptions that mask2alpha raises on purpose.

Mask2AlphaError
├── InputError (also ValueError)      an argument cannot be used
├── ImageFileError                    a picture cannot be read or written
├── VideoError                        a clip cannot be read, written or followed
├── CheckpointError                   weights cannot be read, found or do not fit
└── TrainingError                     training had to stop (a loss that is not finite, say)
"""


class Mask2AlphaError(Exception):
    """Base of every error that mask2alpha raises on purpose."""


class InputError(Mask2AlphaError, ValueError):
    """An argument cannot be used; the message names it, what was given and what is accepted."""


class ImageFileError(Mask2AlphaError):
    """A picture file cannot be read or written; the message names the file and the reason."""


class VideoError(Mask2AlphaError):
    """A clip cannot be read, written or followed; the message names the clip or the frame, and the reason."""


class CheckpointError(Mask2AlphaError):
    """Weights cannot be found, read, or do not fit the model."""


class TrainingError(Mask2AlphaError):
    """A training run had to stop; the message says at which step and why."""

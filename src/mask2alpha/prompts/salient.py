"""What stands out, without a prompt: the sessions of rembg (U2-Net, IS-Net, BiRefNet and others)."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from mask2alpha.errors import InputError
from mask2alpha.prompts.abstract import AbstractMaskMaker
from mask2alpha.prompts.prompt import Prompt


class Rembg(AbstractMaskMaker):
    """A rembg session; a box says where in the photograph to look."""

    accepts = frozenset({"box"})

    def __init__(self, session: Any = "u2net") -> None:
        """Keep a session, or open one.

        Args:
            session: One of rembg's own, or the name of one; rembg fetches the weights that it does not have yet.

        Raises:
            InputError: rembg is not installed, or knows no such session.
        """
        try:
            import rembg
        except (ImportError, SystemExit) as error:  # it exits where it finds no onnxruntime
            raise InputError('this needs rembg: pip install "rembg[cpu]"') from error
        self._remove = rembg.remove
        try:
            self._session = rembg.new_session(session) if isinstance(session, str) else session
        except ValueError as error:
            raise InputError(f"rembg has no session {session!r}: {error}") from error

    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        rows, columns = prompt.inside(image.shape[:2])
        mask = np.zeros(image.shape[:2], np.uint8)
        part = np.ascontiguousarray(image[rows, columns])
        mask[rows, columns] = self._remove(part, session=self._session, only_mask=True)
        return mask

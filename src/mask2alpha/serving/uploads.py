"""The photographs kept for further masks: their uploads, whose they are, and when they expire.

What is kept here is the upload itself. Its encoding is made from it by whichever worker needs it and kept there as long
as there is room, so that the death of a worker loses no photograph.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from mask2alpha.serving.problems import ProblemError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPhoto:
    """One photograph."""

    id: str
    token_hash: bytes
    path: Path
    num_bytes: int
    width: int
    height: int
    is_16_bit: bool


class UploadStore:
    """Bounded in number and bytes; what was not used for longest goes first."""

    def __init__(
        self,
        folder: Path,
        *,
        max_count: int,
        max_bytes: int,
        expiry: float,
        on_removed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet.

        Args:
            folder: Where the uploads lie.
            max_count: Most photographs.
            max_bytes: Most bytes of all uploads together.
            expiry: Seconds after the last use.
            on_removed: Told the id of each photograph that goes.
            clock: Seconds.
        """
        self.folder = folder
        self.num_bytes = 0
        self.expiry = expiry
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._on_removed = on_removed
        self._clock = clock
        self._photos: OrderedDict[str, tuple[StoredPhoto, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._photos)

    def add(self, key: str, path: Path, *, width: int, height: int, is_16_bit: bool) -> tuple[StoredPhoto, str]:
        """Keep an upload, which is moved here; older ones make room.

        Args:
            key: From `new_key`.
            path: The upload.
            width: In pixels.
            height: In pixels.
            is_16_bit: As the photograph was read.

        Returns:
            The photograph, and the owner's token, which is kept nowhere.
        """
        self.remove_expired()
        token = token_urlsafe(24)
        num_bytes = path.stat().st_size
        target = self.folder / key
        path.replace(target)
        photo = StoredPhoto(
            id=key,
            token_hash=_hash(token),
            path=target,
            num_bytes=num_bytes,
            width=width,
            height=height,
            is_16_bit=is_16_bit,
        )
        while self._photos and (len(self) >= self._max_count or self.num_bytes + num_bytes > self._max_bytes):
            self._remove(next(iter(self._photos)))
        self._photos[key] = photo, self._clock()
        self.num_bytes += num_bytes
        return photo, token

    def get(self, key: str, token: str) -> StoredPhoto:
        """The photograph, whose expiry begins anew.

        Raises:
            ProblemError: There is none such, or the token is not its owner's: the answer does not tell which.
        """
        self.remove_expired()
        photo = self._photos[key][0] if key in self._photos else None
        is_owner = hmac.compare_digest(photo.token_hash if photo else _hash(""), _hash(token))
        if photo is None or not is_owner:
            raise ProblemError(
                "encoding-not-found",
                "This photograph is not kept here (any more), or the token is not its owner's; send it again.",
            )
        self._photos[key] = photo, self._clock()
        self._photos.move_to_end(key)
        return photo

    def remove(self, key: str, token: str) -> None:
        """Forget a photograph.

        Raises:
            ProblemError: As `get`.
        """
        self._remove(self.get(key, token).id)

    def remove_expired(self) -> None:
        """Forget what was not used for too long."""
        limit = self._clock() - self.expiry
        while self._photos and next(iter(self._photos.values()))[1] < limit:
            self._remove(next(iter(self._photos)))

    def _remove(self, key: str) -> None:
        photo, _ = self._photos.pop(key)
        self.num_bytes -= photo.num_bytes
        photo.path.unlink(missing_ok=True)
        self._on_removed(key)


def new_key() -> str:
    """A name that nobody can guess."""
    return token_urlsafe(16)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

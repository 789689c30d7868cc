"""Keeps uploaded photos for further masks, with their owners' tokens and their expiry.

The store keeps the uploaded files. The workers make and cache the encodings, so that no photo is lost when a worker
dies.
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
    """One uploaded photo."""

    id: str
    token_hash: bytes
    path: Path
    num_bytes: int
    width: int
    height: int
    is_16_bit: bool


class UploadStore:
    """Keeps a limited number of photos and bytes; the least recently used go first."""

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
        """Start empty.

        Args:
            folder: Folder of the uploads.
            max_count: Largest number of photos.
            max_bytes: Largest number of bytes of all uploads.
            expiry: Seconds from the last use to the removal.
            on_removed: Called with the id of each removed photo.
            clock: Returns the time in seconds.
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
        """Move an upload into the store, and remove the least recently used ones if there are too many.

        Args:
            key: From `new_key`.
            path: The upload.
            width: In pixels.
            height: In pixels.
            is_16_bit: Whether the photo has 16 bits per channel.

        Returns:
            The photo, and the owner's token, of which only a hash is stored.
        """
        self.remove_expired()
        token = token_urlsafe(24)
        num_bytes = path.stat().st_size
        target = self.folder / key
        path.replace(target)
        photo = StoredPhoto(
            id=key,
            token_hash=hash_token(token),
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
        """Look a photo up and restart its expiry.

        Raises:
            ProblemError: There is no such photo, or the token is wrong; the message is the same for both.
        """
        self.remove_expired()
        photo = self._photos[key][0] if key in self._photos else None
        is_owner = hmac.compare_digest(photo.token_hash if photo else hash_token(""), hash_token(token))
        if photo is None or not is_owner:
            raise ProblemError(
                "encoding-not-found",
                "This photo is not kept here (any more), or the token is not its owner's; upload it again.",
            )
        self._photos[key] = photo, self._clock()
        self._photos.move_to_end(key)
        return photo

    def remove(self, key: str, token: str) -> None:
        """Remove a photo.

        Raises:
            ProblemError: As `get`.
        """
        self._remove(self.get(key, token).id)

    def remove_expired(self) -> None:
        """Remove the photos that have expired."""
        limit = self._clock() - self.expiry
        while self._photos and next(iter(self._photos.values()))[1] < limit:
            self._remove(next(iter(self._photos)))

    def _remove(self, key: str) -> None:
        photo, _ = self._photos.pop(key)
        self.num_bytes -= photo.num_bytes
        photo.path.unlink(missing_ok=True)
        self._on_removed(key)


def new_key() -> str:
    """A new id that nobody can guess."""
    return token_urlsafe(16)


def hash_token(token: str) -> bytes:
    """What is kept of an owner's token."""
    return hashlib.sha256(token.encode()).digest()

"""Errors as RFC 9457 problem details (`application/problem+json`)."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from mask2alpha.errors import ImageFileError, InputError, VideoError

MEDIA_TYPE = "application/problem+json"
TITLES = {
    "bad-request": (400, "The request cannot be read"),
    "key-needed": (401, "An API key is needed"),
    "cross-site": (403, "Pages of other sites may not use this service"),
    "not-found": (404, "There is nothing here"),
    "encoding-not-found": (404, "This photo is not kept here"),
    "no-clips": (404, "This service takes no clips"),
    "clip-not-found": (404, "This clip is not kept here"),
    "wrong-method": (405, "This address does not answer such requests"),
    "clip-unfinished": (409, "The clip is not matted yet"),
    "upload-too-slow": (408, "The upload took too long"),
    "body-too-large": (413, "The upload is too large"),
    "invalid-field": (422, "Something in the form cannot be used"),
    "picture-refused": (422, "The photo or mask cannot be used"),
    "clip-refused": (422, "The clip cannot be used"),
    "too-much-memory": (422, "The photo needs too much memory"),
    "queue-full": (429, "The service is busy"),
    "internal": (500, "Something went wrong inside the service"),
    "worker-died": (500, "The work could not be finished"),
    "deadline": (503, "The work took too long"),
    "starting": (503, "The service is not ready"),
}
"""Kind of problem to its status and title."""
WORK_PROBLEMS = (
    "upload-too-slow",
    "body-too-large",
    "invalid-field",
    "picture-refused",
    "too-much-memory",
    "queue-full",
    "worker-died",
    "deadline",
    "starting",
)
"""Kinds of problem of an upload that is worked on."""


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, str]] = []


_PROBLEM_REFERENCE = Problem.model_json_schema()


class ProblemError(HTTPException):
    """Ends a request with a problem; `kind` is one of `TITLES`.

    It is an `HTTPException` because the framework passes on no other exceptions while it reads a form.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        retry_after: int | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(TITLES[kind][0], detail)
        self.kind = kind
        self.retry_after = retry_after
        self.errors = errors

    def response(self, request_id: str) -> JSONResponse:
        """The answer to the client."""
        title = TITLES[self.kind][1]
        body: dict[str, Any] = {
            "type": f"urn:mask2alpha:problem:{self.kind}",
            "title": title,
            "status": self.status_code,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        headers: Mapping[str, str] = {}
        if self.retry_after is not None:
            headers = {"Retry-After": str(self.retry_after)}
        elif self.kind == "key-needed":
            headers = {"WWW-Authenticate": "Bearer"}
        return JSONResponse(body, status_code=self.status_code, headers=headers, media_type=MEDIA_TYPE)


def describe(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the problems of an address, beside those of all."""
    texts: dict[int, list[str]] = {}
    for kind in ("key-needed", "bad-request", "cross-site", *kinds):
        texts.setdefault(TITLES[kind][0], []).append(TITLES[kind][1])
    return {
        status: {"description": "; ".join(titles), "content": {MEDIA_TYPE: {"schema": _PROBLEM_REFERENCE}}}
        for status, titles in texts.items()
    }


def problem_of(error: Exception) -> ProblemError | None:
    """The problem for the client; None for an unexpected error."""
    if isinstance(error, ProblemError):
        return error
    for family, kind in (
        (InputError, "invalid-field"),
        (ImageFileError, "picture-refused"),
        (VideoError, "clip-refused"),
    ):
        if isinstance(error, family):
            return ProblemError(kind, _sentence(str(error)))
    # PyTorch and OpenCV raise errors of their own when memory runs out
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return ProblemError(
            "too-much-memory", "The photo needs more memory than one request may take; send a smaller one."
        )
    return None


def _sentence(text: str) -> str:
    """A message as one sentence; options of the command line become fields of the form."""
    text = re.sub(r"--(label|channel|fit) ", r"\1=", " ".join(text.split()))
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")

"""Errors as RFC 9457 problem details (`application/problem+json`)."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
TITLES = {
    "bad-request": (400, "The request cannot be read"),
    "key-needed": (401, "An API key is needed"),
    "cross-site": (403, "Pages of other sites may not use this service"),
    "not-found": (404, "There is nothing here"),
    "encoding-not-found": (404, "This photo is not kept here"),
    "wrong-method": (405, "This address does not answer such requests"),
    "upload-too-slow": (408, "The upload took too long"),
    "body-too-large": (413, "The upload is too large"),
    "invalid-field": (422, "Something in the form cannot be used"),
    "picture-refused": (422, "The photo or mask cannot be used"),
    "too-much-memory": (422, "The photo needs too much memory"),
    "queue-full": (429, "The service is busy"),
    "internal": (500, "Something went wrong inside the service"),
    "worker-died": (500, "The work could not be finished"),
    "deadline": (503, "The work took too long"),
    "starting": (503, "The service is not ready"),
}
"""Kind of problem to its status and title."""


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

"""A worker of the service that reads pictures as the real one does; its alpha is the mask, or the tiny network's."""

import json
import os
import sys

import torch
from pydantic import TypeAdapter

from fakes import FakePredictor
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.serving.job_runner import JobRunner
from mask2alpha.serving.jobs import Job
from mask2alpha.serving.problems import ProblemError


def make_tiny() -> Predictor:
    """The tiny network, always with the same weights."""
    torch.manual_seed(0)
    return Predictor(Mask2Alpha(PRESETS["tiny"]), device="cpu", dtype=torch.float32)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.readline())
    predictor: AbstractPredictor = make_tiny() if settings["model"] == "tiny" else FakePredictor()
    limits = {"max_pixels": settings["max_pixels"], "max_bytes": settings["max_body"]}
    runner = JobRunner(predictor, cache_bytes=settings["worker_cache"], **limits)
    ready = {"device": "cpu", "dtype": "float32", "trust": 0.5, "steps": 2, "error_threshold": 0.02, "selects": 0}
    print(json.dumps({"ready": ready}), file=answers)
    jobs: TypeAdapter[Job] = TypeAdapter(Job)
    for line in sys.stdin:
        message = json.loads(line)
        if "forget" in message:
            runner.forget(message["forget"])
            continue
        try:
            result = runner.run(jobs.validate_python(message["job"]), lambda stage, done: None)
            answer = {"result": result.model_dump(mode="json")}
        except ProblemError as error:
            answer = {"problem": {"kind": error.kind, "detail": error.detail}}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()

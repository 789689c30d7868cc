"""The process of a clip's job whose mattes are the masks; a model called "slow" never gives more than two."""

import time
from typing import TYPE_CHECKING, Any

from mask2alpha.serving.clip_worker import main
from mask2alpha.serving.worker import WorkerSettings

if TYPE_CHECKING:
    from mask2alpha.pipeline.abstract import AbstractPredictor


def load(settings: WorkerSettings) -> "AbstractPredictor":
    from fakes import FakePredictor

    class SlowPredictor(FakePredictor):
        def predict(self, image: Any, mask: Any) -> Any:
            time.sleep(0 if self.num_predicted < 2 else 3600)  # a frame is done when the next one is matted
            return super().predict(image, mask)

    return SlowPredictor() if settings.model == "slow" else FakePredictor()


if __name__ == "__main__":
    main(load)

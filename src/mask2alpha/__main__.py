"""``python -m mask2alpha`` and the `mask2alpha` command."""

import os

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
    # By default, threads that wait for each other spin long. Where other programs keep the cores busy, that made a
    # matte four times slower; a shorter spin costs about 3 % on an idle machine. OpenMP reads this when torch loads.
    os.environ["GOMP_SPINCOUNT"] = "2000"

from mask2alpha.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

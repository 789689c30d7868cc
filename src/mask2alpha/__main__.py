"""``python -m mask2alpha`` and the `mask2alpha` command."""

import os

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
    # Threads that wait for each other spin for about a millisecond by default. Where another program uses a core, that
    # makes a matte four times slower; a shorter spin costs 3 % on an idle machine. OpenMP reads this when torch loads.
    os.environ["GOMP_SPINCOUNT"] = "2000"

from mask2alpha.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

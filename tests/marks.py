"""Marks that several test files share."""

import pytest

from mask2alpha.ops.dtypes import cpu_runs_bfloat16

needs_bfloat16 = pytest.mark.skipif(not cpu_runs_bfloat16(), reason="this CPU cannot run the network in bfloat16")

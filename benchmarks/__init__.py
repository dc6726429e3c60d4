"""Side-by-side runs against other methods: ``python -m benchmarks.tabular`` and the like, see docs/benchmarks.md.

Every method gets one thread unless OMP_NUM_THREADS says otherwise, so that seconds can be compared on a machine
with other work to do. NumPy and PyTorch read the variable when they are imported, which is after this.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import os

# One thread a worker. PyTorch and BLAS read this when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# scikit-learn's check of array API inputs skips itself without.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import pytest
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("fixed")


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")

import warnings

import pytest
import torch

from skgrow.problem import gram_matrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(50, 7), (3, 40), (0, 4), (5, 0)])
def test_gram_matrix(shape, dtype):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for given in (rows, rows.T.contiguous().T, torch.cat([rows, rows], 1)[:, : shape[1]]):
        found = gram_matrix(given)
        exact = (rows.double().T @ rows.double()).to(dtype)
        # a sum of products is rounded once a row, relative to the squares
        rounding = 2 * torch.finfo(dtype).eps * len(rows) * float(rows.square().sum(0).max() if exact.numel() else 0)
        torch.testing.assert_close(found, exact, rtol=0, atol=rounding)
        assert found.dtype == dtype
        assert torch.equal(found, found.T)


def test_gram_matrix_of_what_is_not_finite_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not torch.isfinite(gram_matrix(torch.tensor([[torch.inf, 1.0], [-torch.inf, torch.nan]]))).any()

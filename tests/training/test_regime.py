"""Choices by the size of the data: threads."""

from threading import Barrier, Thread

import pytest
import torch
from threadpoolctl import ThreadpoolController

from skgrow.problem import SquaredError
from skgrow.solvers import LBFGS
from skgrow.training import Plateau, Regime, Settings


def regime(n=100, d=3):
    settings = Settings(
        loss=SquaredError(),
        solver=LBFGS(),
        schedule=Plateau(),
        alpha=0.0,
        standardize=True,
        early_stopping=False,
        validation_fraction=0.1,
        random_state=0,
        device="cpu",
        dtype="auto",
    )
    return Regime(settings, n, d, 1, torch.device("cpu"))


def pools():
    """Sizes of the pools of linear algebra, which belong to the process, and of PyTorch's in this thread."""
    shared = [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]
    return shared, torch.get_num_threads()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ThreadpoolController().limit(limits=2):
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_small_data_have_one_thread_and_give_the_others_back():
    before = pools()
    with regime().threads(100, 3):
        shared, own = pools()
        assert set(shared) == {own} == {1}
        with regime().threads(100, 3):
            pass
        assert pools() == (shared, own)
    assert pools() == before


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("first_in_is_first_out", [True, False])
def test_fits_beside_each_other_give_all_threads_back(first_in_is_first_out):
    before, inside, own = pools(), [], []
    entered, left = Barrier(2, timeout=30), Barrier(2, timeout=30)

    def fit(leaves_first):
        torch.set_num_threads(2)
        at_first = torch.get_num_threads()
        with regime().threads(100, 3):
            entered.wait()
            inside.append(pools())
            if not leaves_first:
                left.wait()
                inside.append(pools())  # the other one has left
        if leaves_first:
            left.wait()
        own.append(torch.get_num_threads() == at_first)

    threads = [Thread(target=fit, args=(first is first_in_is_first_out,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) == 3
    assert inside == [([1] * len(before[0]), 1)] * 3
    assert own == [True, True]
    assert pools() == before


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("asked", "size", "own"), [(None, 10**4, 1), ("1", 10**4, 1), ("2", 10**4, 2), ("2", 100, 1)])
def test_more_threads_are_for_large_data_and_have_to_be_asked_for(monkeypatch, asked, size, own):
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with regime().threads(size, 10):
        assert torch.get_num_threads() == own


@pytest.mark.usefixtures("two_threads")
def test_threads_come_back_after_an_error():
    before = pools()
    with pytest.raises(ZeroDivisionError), regime().threads(100, 3):
        1 / 0  # noqa: B018
    assert pools() == before

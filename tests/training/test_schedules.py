import pytest
from sklearn.base import clone

from skgrow.growth import PolarSearch
from skgrow.training import AtEpochs, Every, Plateau, TargetLoss

FALLING = [2.0**-k for k in range(20)]


@pytest.mark.parametrize(
    "component",
    [Plateau(tol=0.1, patience=7), Every(epochs=4), AtEpochs(epochs=(1, 5)), TargetLoss(target=0.2), PolarSearch(8, 4)],
    ids=repr,
)
def test_components_are_estimators_of_parameters_only(component):
    copy = clone(component)
    assert copy is not component
    assert copy.get_params() == component.get_params()
    assert vars(component) == component.get_params()


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_plateau_is_due_after_patience_epochs_without_progress(patience):
    schedule = Plateau(tol=1e-3, patience=patience)
    values = list(FALLING)
    assert not any(schedule.due(values[: k + 1], k) for k in range(len(values)))
    best = values[-1]
    for k in range(1, patience + 1):
        values.append(best * (1 - 0.5e-3 / patience))
        assert schedule.due(values, len(values)) == (k == patience)


def test_plateau_counts_relative_progress():
    slow = [1.0, 0.95, 0.90, 0.86]
    assert not Plateau(tol=0.05, patience=2).due(slow, 3)
    assert Plateau(tol=0.15, patience=2).due(slow, 3)
    for size in (1e-12, 1e12):
        assert not Plateau(tol=0.05, patience=2).due([size * v for v in slow], 3)
        assert Plateau(tol=0.15, patience=2).due([size * v for v in slow], 3)


def test_plateau_at_zero_loss_is_due():
    assert Plateau(patience=2).due([1.0, 0.0, 0.0, 0.0], 3)


def test_every_counts_from_the_last_growth():
    due = [Every(epochs=3).due(FALLING[: k + 1], 100 + k) for k in range(6)]
    assert due == [False, False, False, True, True, True]


def test_at_epochs_counts_from_the_start():
    one_step = [1.0, 0.9]
    assert [k for k in range(50) if AtEpochs(epochs=(7, 20)).due(one_step, k)] == [7, 20]
    assert AtEpochs(epochs=(7, 20)).due([1.0] * 6, 10)  # passed since the last growth, at epoch 5
    assert not AtEpochs(epochs=(7, 20)).due([1.0] * 3, 10)


def test_target_loss_finishes_at_its_target_and_is_due_on_plateaus():
    schedule = TargetLoss(target=0.1, patience=2)
    assert [schedule.finished(loss, 0) for loss in (0.2, 0.1, 0.05)] == [False, True, True]
    assert schedule.due([1.0, 0.5, 0.5, 0.5], 3)
    assert not any(other.finished(0.0, 2) for other in (Plateau(), Every(), AtEpochs()))
    assert AtEpochs((5, 9)).finished(1.0, 2)


@pytest.mark.parametrize("kind", [Plateau, Every, TargetLoss])
def test_growth_ends_after_so_many_growths(kind):
    limited = kind(max_growths=2)
    assert [limited.finished(1.0, n_growths) for n_growths in range(4)] == [False, False, True, True]
    assert not any(kind().finished(1.0, n_growths) for n_growths in (0, 5, 10**6))
    assert kind(max_growths=0).finished(1.0, 0)

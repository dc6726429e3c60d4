"""scikit-learn's checks. They cut ``max_iter`` to 5; of growing estimators ``max_stage_iter`` is as small here."""

from functools import partial

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
)
from skgrow.growth import PolarSearch
from skgrow.multilevel import Cycle
from skgrow.training import Every, Plateau

#: One growth in a few directions. Blocks of two neurons, since a single one would ascend, which costs more.
FEW = {
    "block_size": 2,
    "max_neurons": 4,
    "max_stage_iter": 3,
    "schedule": Plateau(max_growths=1),
    "search": PolarSearch(4, 4, n_exchanges=0),
}


#: Every class once, and what else these are made of spread over them: architectures, solvers, losses, cycles.
ESTIMATORS = [
    GrowingRegressor(**FEW, activation="tanh"),
    GrowingClassifier(**FEW, solver="lbfgs", activation="relu"),
    SensLIRegressor(architecture="resnet", hidden_layer_sizes=(4, 4), activation="tanh", solver="lm", max_iter=15),
    SensLIClassifier(hidden_layer_sizes=(20,), schedule=Every(20, max_growths=1), learning_rate_init=0.01, max_iter=30),
    PreconditionedMLPRegressor(hidden_layer_sizes=(20,), max_iter=10),
    PreconditionedMLPClassifier(hidden_layer_sizes=(5, 5), activation="logistic", tol=0.01, max_iter=10),
    MGOptRegressor(hidden_layer_sizes=(8,) * 3, learning_rate_init=0.03, max_iter=15),
    MGOptClassifier(
        architecture="mlp",
        hidden_layer_sizes=(8,),
        n_levels=3,
        solver="lbfgs",
        cycle=Cycle("W", correction="exact"),
        max_iter=8,
    ),
]

#: Other ways through a fit. Checks of parameters, containers and messages are the business of the class.
OTHERS = [
    GrowingRegressor(**FEW),
    GrowingRegressor(**FEW, activation="leaky_relu", solver="lbfgs"),
    GrowingRegressor(
        **FEW | {"search": PolarSearch(4, 4, n_exchanges=1)},
        activation="tanh",
        solver="adam",
        learning_rate_init=0.02,
    ),
    GrowingRegressor(**FEW | {"search": PolarSearch(4, 4, n_exchanges=1)}, loss="huber", activation="tanh"),
    GrowingRegressor(**FEW, loss="quantile", activation="relu"),
    GrowingRegressor(
        **FEW | {"max_neurons": 6}, hidden_layer_sizes=(2, 2), grow_layer="best", activation="tanh", solver="lbfgs"
    ),
    GrowingClassifier(**FEW),
    SensLIRegressor(learning_rate_init=0.01, max_iter=20),
    SensLIClassifier(
        architecture="resnet", hidden_layer_sizes=(8,), solver="lbfgs", widen=True, alpha=0.1, max_iter=20
    ),
    PreconditionedMLPRegressor(preconditioner=None, solver="lbfgs", hidden_layer_sizes=(10,), max_iter=20),
    MGOptRegressor(
        architecture="mlp", hidden_layer_sizes=(8,), solver="lbfgs", cycle=Cycle("V", correction=True), max_iter=10
    ),
    MGOptClassifier(hidden_layer_sizes=(8,) * 3, learning_rate_init=0.05, tol=0.01, max_iter=10),
]
OF_THE_FIT = {
    "check_classifiers_one_label",
    "check_classifiers_train",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
}


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pair
        for estimator in OTHERS
        for pair in estimator_checks_generator(estimator)
        if pair[1].func.__name__ in OF_THE_FIT
    ],
    ids=lambda given: given.func.__name__ if isinstance(given, partial) else None,
)
def test_checks_of_other_ways_through_a_fit(estimator, check):
    check(estimator)

"""scikit-learn's checks. They cut ``max_iter`` to 5; of growing estimators ``max_stage_iter`` is as small here."""

from sklearn.utils.estimator_checks import parametrize_with_checks

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


@parametrize_with_checks(
    [
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
        GrowingClassifier(**FEW, solver="lbfgs", activation="relu"),
        SensLIRegressor(learning_rate_init=0.01, max_iter=20),
        SensLIRegressor(architecture="resnet", hidden_layer_sizes=(4, 4), activation="tanh", solver="lm", max_iter=15),
        SensLIClassifier(
            hidden_layer_sizes=(20,), schedule=Every(20, max_growths=1), learning_rate_init=0.01, max_iter=30
        ),
        SensLIClassifier(
            architecture="resnet", hidden_layer_sizes=(8,), solver="lbfgs", widen=True, alpha=0.1, max_iter=20
        ),
        PreconditionedMLPRegressor(hidden_layer_sizes=(20,), max_iter=10),
        PreconditionedMLPClassifier(hidden_layer_sizes=(5, 5), activation="logistic", tol=0.01, max_iter=10),
        PreconditionedMLPRegressor(preconditioner=None, solver="lbfgs", hidden_layer_sizes=(10,), max_iter=20),
        MGOptRegressor(hidden_layer_sizes=(8,) * 3, learning_rate_init=0.03, max_iter=15),
        MGOptRegressor(
            architecture="mlp", hidden_layer_sizes=(8,), solver="lbfgs", cycle=Cycle("V", correction=True), max_iter=10
        ),
        MGOptClassifier(hidden_layer_sizes=(8,) * 3, learning_rate_init=0.05, tol=0.01, max_iter=10),
        MGOptClassifier(
            architecture="mlp",
            hidden_layer_sizes=(8,),
            n_levels=3,
            solver="lbfgs",
            cycle=Cycle("W", correction="exact"),
            max_iter=8,
        ),
    ]
)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)

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


@parametrize_with_checks(
    [
        GrowingRegressor(max_neurons=6, search=PolarSearch(n_exchanges=0), max_stage_iter=5),
        GrowingRegressor(
            activation="leaky_relu", solver="lbfgs", max_neurons=6, search=PolarSearch(n_exchanges=0), max_stage_iter=5
        ),
        GrowingRegressor(
            activation="tanh",
            solver="adam",
            max_neurons=6,
            search=PolarSearch(n_exchanges=1),
            max_stage_iter=5,
            learning_rate_init=0.02,
        ),
        GrowingRegressor(
            loss="huber", activation="tanh", max_neurons=6, search=PolarSearch(n_exchanges=1), max_stage_iter=5
        ),
        GrowingRegressor(
            loss="quantile", activation="relu", max_neurons=6, search=PolarSearch(n_exchanges=0), max_stage_iter=5
        ),
        GrowingRegressor(
            hidden_layer_sizes=(3, 2),
            grow_layer="best",
            max_neurons=6,
            solver="lbfgs",
            search=PolarSearch(n_exchanges=0),
            max_stage_iter=5,
        ),
        GrowingClassifier(max_neurons=6, max_stage_iter=5),
        GrowingClassifier(solver="lbfgs", activation="relu", max_neurons=6, max_stage_iter=5),
        SensLIRegressor(max_iter=60),
        SensLIRegressor(architecture="resnet", hidden_layer_sizes=(8, 8), activation="tanh", solver="lm", max_iter=60),
        SensLIClassifier(hidden_layer_sizes=(20,), schedule="every", max_iter=60),
        SensLIClassifier(
            architecture="resnet", hidden_layer_sizes=(8,), solver="lbfgs", widen=True, alpha=0.1, max_iter=60
        ),
        PreconditionedMLPRegressor(hidden_layer_sizes=(20,), max_iter=60),
        PreconditionedMLPClassifier(hidden_layer_sizes=(5, 5), activation="logistic", max_iter=60),
        PreconditionedMLPRegressor(preconditioner=None, solver="lbfgs", hidden_layer_sizes=(10,), max_iter=60),
        MGOptRegressor(hidden_layer_sizes=(8,) * 3, learning_rate_init=0.02, max_iter=30),
        MGOptRegressor(
            architecture="mlp", hidden_layer_sizes=(8,), solver="lbfgs", cycle=Cycle("V", correction=True), max_iter=20
        ),
        MGOptClassifier(hidden_layer_sizes=(8,) * 3, learning_rate_init=0.03, max_iter=20),
        MGOptClassifier(
            architecture="mlp",
            hidden_layer_sizes=(8,),
            n_levels=3,
            solver="lbfgs",
            cycle=Cycle("W", correction="exact"),
            max_iter=15,
        ),
    ]
)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)

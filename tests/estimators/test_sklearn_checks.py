from sklearn.utils.estimator_checks import parametrize_with_checks

from skgrow import GrowingClassifier, GrowingRegressor


@parametrize_with_checks(
    [
        GrowingRegressor(),
        GrowingRegressor(activation="leaky_relu", solver="lbfgs", max_neurons=6, n_exchanges=1, max_iter=50),
        GrowingRegressor(activation="tanh", solver="adam", max_neurons=6, n_exchanges=1, learning_rate_init=0.02),
        GrowingRegressor(loss="huber", activation="tanh", max_neurons=6, n_exchanges=1, max_iter=50),
        GrowingRegressor(loss="quantile", activation="relu", max_neurons=6, n_exchanges=1, max_iter=50),
        GrowingRegressor(
            hidden_layer_sizes=(3, 2), grow_layer="best", max_neurons=8, solver="lbfgs", n_exchanges=1, max_iter=50
        ),
        GrowingClassifier(),
        GrowingClassifier(solver="lbfgs", activation="relu", max_neurons=6),
    ]
)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)

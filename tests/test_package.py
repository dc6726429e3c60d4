import subprocess
import sys

import pytest

import skgrow


def test_importing_the_package_loads_neither_torch_nor_scikit_learn():
    code = "import sys, skgrow; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_does_not_load_the_compiler():
    code = """if True:
        import sys, warnings, numpy as np
        from skgrow import GrowingClassifier, PreconditionedMLPRegressor, SensLIClassifier
        from skgrow.networks import CNNArchitecture

        warnings.simplefilter("ignore")
        X = np.random.default_rng(0).normal(size=(50, 16))
        y = X[:, 0] > 0
        for solver in ("adam", "sgd", "lbfgs", "lm"):
            GrowingClassifier(solver=solver, max_neurons=2, max_stage_iter=3).fit(X, y)
        SensLIClassifier(architecture=CNNArchitecture((4, 4)), max_iter=2).fit(X, y)
        PreconditionedMLPRegressor(max_iter=2).fit(X, X[:, 0])
        sys.exit("torch._dynamo" in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", skgrow.__all__)
def test_public_names_are_there(name):
    assert getattr(skgrow, name) is not None
    assert name in dir(skgrow)


def test_every_lazy_name_is_public():
    loaded = {name.removeprefix("skgrow.") for name in sys.modules if name.startswith("skgrow.")}
    offered = {name for name in dir(skgrow) if not name.startswith("_")} - loaded - {"TYPE_CHECKING"}
    assert offered == set(skgrow.__all__) - {"__version__"}


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ShrinkingRegressor'"):
        skgrow.ShrinkingRegressor  # noqa: B018

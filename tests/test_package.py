import subprocess
import sys

import pytest

import skgrow


def test_importing_the_package_loads_neither_torch_nor_scikit_learn():
    code = "import sys, skgrow; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", skgrow.__all__)
def test_public_names_are_there(name):
    assert getattr(skgrow, name) is not None
    assert name in dir(skgrow)


def test_every_lazy_name_is_public():
    assert sorted([*skgrow._MODULE_OF, "__version__"]) == sorted(skgrow.__all__)


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ShrinkingRegressor'"):
        skgrow.ShrinkingRegressor  # noqa: B018

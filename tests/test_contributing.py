"""The examples of CONTRIBUTING.md run as they stand, and are short."""

import re
from pathlib import Path

import pytest

from skgrow.estimators import REGISTRY

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
EXAMPLES = dict(re.findall(r"^### (?:A|An) ([^\n]+)\n.*?^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
NAMES = ("schedule", "loss", "criterion", "inner product", "hierarchy", "search")


@pytest.mark.skipif(not TEXT, reason="needs a checkout, where the page is")
def test_there_is_an_example_for_every_kind_of_component():
    assert sorted(EXAMPLES) == sorted(NAMES)


@pytest.mark.skipif(not TEXT, reason="needs a checkout, where the page is")
@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs_and_is_short(name, monkeypatch, capsys):
    monkeypatch.setitem(REGISTRY, "schedule", dict(REGISTRY["schedule"]))  # an example adds a name
    code = EXAMPLES[name]
    assert len(code.splitlines()) < 40
    exec(compile(code, f"CONTRIBUTING.md: {name}", "exec"), {"__name__": "__main__"})
    (line,) = capsys.readouterr().out.splitlines()
    score = float(line.split()[-1])
    assert score > 0  # better than the mean of the targets

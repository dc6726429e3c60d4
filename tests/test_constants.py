"""Constants of the package, read from its source: one value per name, and a documented home for every tuned value."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import skgrow

SOURCE = Path(skgrow.__file__).parent
DECISIONS = SOURCE.parent / "docs" / "decisions"


def assigned(module):
    """Yield the constants of a module, by name and value."""
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.Assign):
            (target,) = node.targets
            several = isinstance(target, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]
        else:
            continue
        yield from ((t.id, value) for t, value in pairs if isinstance(t, ast.Name) and t.id.isupper())


def homes():
    """Return the dataclasses of which a module makes its one instance, without arguments, by the instance's name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = ast.parse(path.read_text())
        classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
        for name, value in assigned(module):
            made = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and not value.args
            if made and not value.keywords and value.func.id in classes:
                found[name] = classes[value.func.id]
    return found


def fields(home):
    """Return the fields of a dataclass, by name, with their values."""
    return {node.target.id: node.value for node in home.body if isinstance(node, ast.AnnAssign)}


def documented(home):
    """Return what the section of attributes of a class says, by the names of the attributes."""
    section = ast.get_docstring(home).split("Attributes\n----------\n")[1]
    found = {}
    for entry in re.split(r"\n(?=\S)", section):
        names, text = entry.split(" : ", 1)
        found |= dict.fromkeys(names.split(", "), " ".join(text.split("\n", 1)[1].split()))
    return found


HOMES = homes()


def test_the_homes_are_those_of_the_methods():
    assert set(HOMES) == {
        "BUDGETS",
        "CHUNKS",
        "ENCODING",
        "GROWTH",
        "MULTILEVEL",
        "NETWORKS",
        "PENALTY",
        "PRECONDITIONING",
        "SOLVERS",
    }


def test_a_name_has_one_value():
    values = defaultdict(lambda: defaultdict(list))
    for path in sorted(SOURCE.rglob("*.py")):
        for name, value in assigned(ast.parse(path.read_text())):
            values[name.lstrip("_").lower()][ast.dump(value)].append(str(path.relative_to(SOURCE)))
    for instance, home in HOMES.items():
        for name, value in fields(home).items():
            values[name][ast.dump(value)].append(instance)
    several = {name: dict(found) for name, found in values.items() if len(found) > 1}
    assert several == {}


@pytest.mark.parametrize("instance", sorted(HOMES))
def test_the_homes_do_not_change(instance):
    assert any("frozen=True" in ast.unparse(decorator) for decorator in HOMES[instance].decorator_list)


@pytest.mark.parametrize("instance", sorted(HOMES))
def test_every_value_is_documented_with_its_decision(instance):
    home = HOMES[instance]
    said = documented(home)
    assert list(said) == list(fields(home))
    for name, text in said.items():
        (number,) = re.findall(r"decision (\d+)\)", text)
        assert list(DECISIONS.glob(f"{int(number):04}-*.md")), (name, number)


@pytest.mark.parametrize("instance", sorted(HOMES))
def test_every_value_is_listed_among_the_decisions(instance):
    (page,) = DECISIONS.glob("0025-*.md")
    tables = re.split(r"\n### ", page.read_text())
    for name in fields(HOMES[instance]):
        under_title = any(f"`{instance}`" in table.split("\n")[0] and f"`{name}`" in table for table in tables)
        assert under_title or f"`{instance}.{name}`" in page.read_text(), name


def test_tolerances_load_nothing():
    module = ast.parse((SOURCE / "_tolerances.py").read_text())
    imports = [ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports == ["from __future__ import annotations"]


def test_every_tolerance_has_a_sentence_and_is_used():
    text = (SOURCE / "_tolerances.py").read_text()
    elsewhere = "\n".join(p.read_text() for p in SOURCE.rglob("*.py") if p.name != "_tolerances.py")
    for name, _ in assigned(ast.parse(text)):
        assert re.search(rf"#: .*\n(?:[A-Z_]+, )?{name}\b", text), name
        assert re.search(rf"\b{name}\b", elsewhere), name


def test_tolerances_are_not_written_out():
    """In the rooms below the estimators, apart from defaults of parameters and fields of classes."""
    left = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parent.name in ("estimators", "datasets", "inspection") or path.parent == SOURCE:
            continue
        module = ast.parse(path.read_text())
        given = set()
        for node in ast.walk(module):
            if isinstance(node, ast.arguments):
                given |= {*node.defaults, *node.kw_defaults}
            elif isinstance(node, ast.ClassDef):
                given |= {field.value for field in node.body if isinstance(field, ast.AnnAssign)}
        numbers = {n for n in ast.walk(module) if isinstance(n, ast.Constant) and isinstance(n.value, float)}
        small = [n.value for n in numbers - given if 0 < n.value < 1e-4]
        if small:
            left[str(path.relative_to(SOURCE))] = small
    assert left == {}

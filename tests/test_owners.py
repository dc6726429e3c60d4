"""Decisions have one owner: who sets the strength of a penalty, and who chooses between curvatures."""

import ast
from pathlib import Path

import pytest

import skgrow

ROOT = Path(skgrow.__file__).parent

#: Files and folders that own the strength of penalties.
STRENGTH = ("training/_penalty_rules.py", "problem/")

#: The file that owns choices by the size of the data.
REGIME = ("training/_regime.py",)

#: Functions elsewhere that give a penalty a strength and decide nothing, by file, with what they call or assign to.
STRENGTHS_GIVEN = {
    "growth/_train.py": {
        # the strength at the start: what was asked for, or the regime's
        ("_problem", "self.settings.penalty.with_alpha"),
        ("_certified", "settings.penalty.with_alpha"),
        # the penalty of the first member of an ensemble
        ("_grown", "problem.at"),
    },
    "multilevel/_level.py": {
        # a coarse objective inside its own correction gets the strength that it gets outside
        ("beside", "self.coarse.at"),
    },
    "growth/_ensemble.py": {
        # what a network was trained with in another process
        ("unpacked", "problem.at"),
    },
    "multilevel/_policy.py": {
        # coarse problems take the strength of the finer one, and nested iteration hands that of the coarser one on
        ("correct", "coarse.problem.at"),
        ("nested_iteration", "levels[0].problem.at"),
        ("nested_iteration", "levels[level].problem.at"),
    },
    "growth/_member.py": {
        # nothing is trained with it: without a penalty there is no evidence
        ("measure", "problem.at"),
    },
}

#: Comparisons elsewhere that are not about curvatures, by file.
OTHER_KINDS = {
    # the structure of a covariance of inputs
    "preconditioning/_covariance.py": {
        "self.structure == 'dense'",
        "self.structure != 'dense'",
    },
    "preconditioning/_frobenius.py": {"s.structure == 'dense'"},
}


def files(owners):
    """All files but those of the owners, by their paths within the package."""
    found = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}
    assert all(any(name.startswith(owner) for name in found) for owner in owners), owners
    return {name: path for name, path in found.items() if not name.startswith(owners)}


def name_of(node):
    """The last part of a dotted name, of what is called or taken an element of."""
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def targets_of(node):
    """What a statement assigns to, one by one."""
    if isinstance(node, ast.Assign):
        found = list(node.targets)
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
        found = [node.target]
    else:
        found = []
    while any(isinstance(target, (ast.Tuple, ast.List)) for target in found):
        found = [part for target in found for part in getattr(target, "elts", [target])]
    return found


def constants_of(node):
    """Constants in a comparison: sides, and members of a tuple, list or set."""
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


class Strengths(ast.NodeVisitor):
    """Where a penalty is given another strength: the function, and what is called or assigned to."""

    def __init__(self):
        self.found, self.functions = [], []

    def visit_FunctionDef(self, node):
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    def generic_visit(self, node):
        for target in targets_of(node):
            constructs = self.functions[-1:] == ["__init__"] and ast.unparse(target) == "self.alpha"
            if isinstance(target, ast.Attribute) and target.attr == "alpha" and not constructs:
                self._note(target)
            entry = isinstance(target, ast.Subscript) and name_of(target.value) == "__dict__"
            if entry and constants_of(target.slice) & {"alpha", "penalty"}:
                self._note(target)
        super().generic_visit(node)

    def _note(self, node):
        self.found.append((self.functions[-1] if self.functions else "", ast.unparse(node)))

    def visit_Call(self, node):
        name = name_of(node)
        method = isinstance(node.func, ast.Attribute)
        sets = name in ("setattr", "__setattr__") and "alpha" in constants_of(node)
        replaces = name in ("replace", "update", "_with") and "alpha" in {keyword.arg for keyword in node.keywords}
        if (method and name in ("at", "with_alpha")) or sets or replaces:
            self._note(node.func)
        self.generic_visit(node)


class Kinds(ast.NodeVisitor):
    """Comparisons with a kind of curvature."""

    def __init__(self):
        self.found = []

    def visit_Compare(self, node):
        sides = {name_of(side) for side in (node.left, *node.comparators)}
        if constants_of(node) & {"kronecker", "dense"} or sides & {"KroneckerCurvature", "DenseCurvature"}:
            self.found.append(ast.unparse(node))
        self.generic_visit(node)

    def visit_MatchValue(self, node):
        if constants_of(node.value) & {"kronecker", "dense"}:
            self.found.append(ast.unparse(node))


def found_in(text, visitor):
    visitor.visit(ast.parse(text))
    return visitor.found


def uses(owners, visitor):
    """What a visitor finds, by file."""
    found = {name: found_in(path.read_text(encoding="utf-8"), visitor()) for name, path in files(owners).items()}
    return {name: set(expressions) for name, expressions in found.items() if expressions}


def test_rules_alone_change_the_strength_of_a_penalty():
    assert uses(STRENGTH, Strengths) == STRENGTHS_GIVEN


def test_the_regime_alone_chooses_between_curvatures():
    assert uses(REGIME, Kinds) == OTHER_KINDS


@pytest.mark.parametrize(
    "text",
    [
        "problem.at(0.5)",
        "trained.problem.at(alpha)",
        "problems[0].at(alpha)",
        "problem.ruled(rule).at(alpha)",
        "problem.penalty.with_alpha(2.0)",
        "problem.alpha = 0.5",
        "problem.alpha /= 3",
        "problem.penalty.alpha, other = 1.0, 2.0",
        "def fit(self):\n    self.alpha = 1.0",
        "def __init__(self):\n    other.alpha = 1.0",
        "setattr(problem, 'alpha', 1.0)",
        "object.__setattr__(problem, 'alpha', 1.0)",
        "found.__dict__['penalty'] = penalty",
        "found.__dict__.update(alpha=1.0)",
        "replace(penalty, alpha=1.0)",
    ],
)
def test_a_change_of_the_strength_would_be_seen(text):
    assert len(found_in(text, Strengths())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "alpha = problem.alpha",
        "def __init__(self, alpha):\n    self.alpha = alpha",
        "L2(alpha=1.0)",
        "replace(problem, X=X)",
        "gradient.add_(theta, alpha=2.0)",
        "if problem.alpha == 0: pass",
        "frame.at[0]",
    ],
)
def test_what_is_no_change_of_the_strength_is_not_seen(text):
    assert found_in(text, Strengths()) == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("problem.curvature is KroneckerCurvature", True),
        ("problem.curvature is not problems.DenseCurvature", True),
        ("kind == 'kronecker'", True),
        ("'dense' != kind", True),
        ("kind in ('dense', 'other')", True),
        ("match kind:\n    case 'kronecker':\n        pass", True),
        ("problem.curvature.is_exact", False),
        ("kind = 'dense'", False),
        ("KroneckerCurvature if expensive else DenseCurvature", False),
    ],
)
def test_a_choice_of_the_curvature_would_be_seen(text, seen):
    assert bool(found_in(text, Kinds())) == seen

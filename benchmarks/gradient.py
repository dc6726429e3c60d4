"""One full gradient of the hand-written layer pass against autograd, and what `import skgrow` costs.

Medians of runs of ten calls each, as training makes them one after the other; runs of both alternate, so that other
work on the machine falls on both alike.

    python -m benchmarks.gradient [--quick]
"""

import argparse
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn

from benchmarks._report import bars, table, write
from skgrow.networks import MLP, Activation, from_torch, to_torch

SIZES = [(442, 10, 20), (5000, 10, 20), (5000, 100, 100)]

IMPORTS = """
import time
start = time.perf_counter()
import sklearn
middle = time.perf_counter()
import {module}
end = time.perf_counter()
import sys
print(end - middle, middle - start, "torch" in sys.modules)
"""


def gradients(n, d, h, n_runs):
    """Return median seconds of both, and the largest relative difference of the gradients."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n, d, dtype=torch.float64, generator=generator)
    Y = torch.randn(n, 1, dtype=torch.float64, generator=generator)
    theta = torch.randn((d + 2) * h + 1, dtype=torch.float64, generator=generator)
    network = MLP((d, h, 1), theta, Activation("relu"))
    module = to_torch(network)
    assert isinstance(module, nn.Sequential)
    loss = nn.MSELoss()

    def by_hand():
        state = network.forward_pass(X)
        return network.gradient(state, (state.output - Y).mul_(2 / n))

    def by_autograd():
        module.zero_grad()
        loss(module(X), Y).backward()

    hand, autograd = interleaved([by_hand, by_autograd], n_runs)
    expected = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
    assert torch.equal(from_torch(module).theta, network.theta)
    error = (by_hand() - expected).abs().max() / expected.abs().max()
    return hand, autograd, float(error)


def interleaved(functions, n_runs):
    for function in functions:
        for _ in range(20):
            function()
    seconds = np.empty((n_runs, len(functions)))
    for i in range(n_runs):
        for j, function in enumerate(functions):
            started = time.perf_counter()
            for _ in range(10):
                function()
            seconds[i, j] = (time.perf_counter() - started) / 10
    return np.median(seconds, axis=0)


def imports(n_runs):
    """Return median seconds of `import sklearn` and of `import skgrow` after it, with and without the estimator."""
    modules = ["skgrow", "skgrow.estimators"]
    found = {module: [] for module in modules}
    base = []
    for _ in range(n_runs):
        for module in modules:
            command = [sys.executable, "-c", IMPORTS.format(module=module)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            assert answer[2] == "False", f"import {module} imports torch"
            found[module].append(float(answer[0]))
            base.append(float(answer[1]))
    return float(np.median(base)), {module: float(np.median(seconds)) for module, seconds in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    quick = parser.parse_args().quick
    rows = []
    for n, d, h in SIZES:
        hand, autograd, error = gradients(n, d, h, (50 if quick else 300) if n < 5000 else (10 if quick else 50))
        rows.append({"n": n, "d": d, "h": h, "by_hand": hand, "autograd": autograd, "difference": error})
    print("one gradient, microseconds, float64, relu")
    table(
        ["n", "d", "h", "by hand", "autograd", "ratio", "difference"],
        [
            [
                *(str(r[key]) for key in ("n", "d", "h")),
                *(f"{1e6 * r[key]:.0f}" for key in ("by_hand", "autograd")),
                f"{r['by_hand'] / r['autograd']:.2f}",
                f"{r['difference']:.0e}",
            ]
            for r in rows
        ],
    )
    base, added = imports(3 if quick else 15)
    print("\nimport, seconds, fresh processes; PyTorch is not imported")
    table(["module", "seconds"], [["sklearn", f"{base:.3f}"], *([f"+ {m}", f"{s:.3f}"] for m, s in added.items())])
    write("gradient-quick" if quick else "gradient", rows, import_seconds={"sklearn": base, **added})
    print("\nrequired")
    bars(
        [
            ("gradient at n = 442, share of autograd's time", rows[0]["by_hand"] / rows[0]["autograd"], 0.5),
            ("seconds that import skgrow adds to import sklearn", added["skgrow"], 0.15),
        ]
    )


if __name__ == "__main__":
    main()

"""The three large computations on a GPU: how near do they come to the device's matrix products?

With n = 1e6 samples of d = 100 features: the polar search, one Gauss-Newton matrix, and one epoch of mini-batches.
The work counted is that of the matrix products alone, so the fraction of the ceiling (the fastest square product
measured on the same device in the same precision) falls where a computation is bound by memory or by the launch of
kernels. The same is run on the CPU, with all its cores. What does not fit into memory is left out.

    python -m benchmarks.gpu [--cpu] [--samples 1000000] [--features 100] [--dtypes float32 float64]

Without a GPU it says so; ``--cpu`` runs a table of reduced size on the CPU alone.
"""

import argparse
import contextlib
import io
import os
import platform
import time

import numpy as np
import torch

from benchmarks._report import RESULTS, table, write
from skgrow.growth import PolarSearch
from skgrow.networks import MLP, Activation
from skgrow.problem import Problem
from skgrow.solvers import Adam

#: Hidden neurons of the Gauss-Newton matrix (2041 parameters at d = 100) and of the epoch.
GAUSS_NEWTON_NEURONS = 20
EPOCH_NEURONS = 100
BLOCK = 3


def ceiling(device, dtype):
    """Return floating-point operations per second of the fastest square matrix product."""
    rates = []
    for size in (1024, 2048) if device.type == "cpu" else (2048, 4096, 8192):
        A, B = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
        rates.append(2 * size**3 / seconds(lambda A=A, B=B: A @ B, device, n_runs=5))
    return max(rates)


def seconds(function, device, n_runs=3):
    """Return the median time of a call that has been warmed up."""
    times = []
    for _ in range(n_runs + 1):
        synchronize(device)
        started = time.perf_counter()
        function()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def data(n, d, device, dtype):
    """Return inputs and a target with a ridge structure, made on the CPU so that all devices see the same."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n, d, generator=generator).to(device, dtype)
    direction = torch.randn(d, 1, generator=generator).to(device, dtype) / d**0.5
    return X, torch.sin(3 * X @ direction)


def network(d, h, device, dtype):
    generator = torch.Generator().manual_seed(1)
    theta = torch.randn((d + 2) * h + 1, generator=generator).to(device, dtype) / d**0.5
    return MLP((d, h, 1), theta, Activation("relu"))


# computations: (X, Y) -> a call, the matrix products' operations in it --------------------------------------------


def polar_search(X, Y, max_samples):
    n, d = X.shape
    search = PolarSearch(max_samples=max_samples)
    g = X.new_full((n,), 1 / n)
    E = Y - Y.mean()
    rows = min(n, max_samples or n)
    k, K, q = search.n_directions, search.n_thresholds, 1
    # projections; candidates on the basis and back; within directions; on the target; the block one by one
    work = 2.0 * rows * k * (2 * d + 2 * K * q + K * K + K + BLOCK * K)

    def call():
        generator = torch.Generator().manual_seed(0)
        return search.search(X, E, g, Activation("relu"), block_size=BLOCK, generator=generator)

    return call, work


def search_bytes(X):
    """Return the size of all candidate features of a search that sees every row."""
    search = PolarSearch()
    return len(X) * search.n_directions * search.n_thresholds * X.element_size()


def memory(device):
    """Return the device's memory in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gauss_newton(X, Y):
    n, d = X.shape
    model = network(d, GAUSS_NEWTON_NEURONS, X.device, X.dtype)
    problem = Problem(X, Y)
    return lambda: problem.gauss_newton(model), 2.0 * n * model.n_parameters**2


def epoch(X, Y, batch_size):
    n, d = X.shape
    h = EPOCH_NEURONS
    generator = torch.Generator().manual_seed(0)
    solver = Adam(batch_size=batch_size).seeded(generator)
    state = solver.start(network(d, h, X.device, X.dtype), Problem(X, Y))
    # forward and the gradients of both layers; back through the output layer
    return state.step, 2.0 * n * (2 * d * h + 3 * h)


def computations(dtype):
    """Yield name and maker of what is run in this precision: mini-batches are float32, as in the estimator."""
    yield "polar search, 10000 rows", lambda X, Y: polar_search(X, Y, 10_000)
    yield "polar search, all rows", lambda X, Y: polar_search(X, Y, None)
    yield "Gauss-Newton matrix", gauss_newton
    if dtype == torch.float32:
        yield "epoch, batches of 200", lambda X, Y: epoch(X, Y, 200)
        yield "epoch, batches of 10000", lambda X, Y: epoch(X, Y, 10_000)


def measure(device, dtype, n, d):
    limit = ceiling(device, dtype)
    X, Y = data(n, d, device, dtype)
    rows = []
    for name, maker in computations(dtype):
        call, work = maker(X, Y)
        fits = "all rows" not in name or 6 * search_bytes(X) < memory(device)
        took = seconds(call, device, 1 if device.type == "cpu" else 3) if fits else float("nan")
        rows.append(
            {
                "device": device.type,
                "dtype": str(dtype).removeprefix("torch."),
                "n": n,
                "d": d,
                "computation": name,
                "seconds": took,
                "gigaflops": work / took / 1e9,
                "ceiling": limit / 1e9,
                "fraction": work / took / limit,
            }
        )
    return rows


def print_table(rows):
    lines = []
    for row in rows:
        same = [r for r in rows if all(r[key] == row[key] for key in ("dtype", "computation"))]
        on_cpu = [r["seconds"] for r in same if r["device"] == "cpu"]
        lines.append(
            [
                row["computation"],
                row["device"],
                row["dtype"],
                f"{row['seconds']:.4g}",
                f"{row['gigaflops']:.0f}",
                f"{row['ceiling']:.0f}",
                f"{row['fraction']:.3f}",
                f"{on_cpu[0] / row['seconds']:.1f}" if on_cpu and row["device"] != "cpu" else "",
            ]
        )
    print(f"\nn = {rows[0]['n']}, d = {rows[0]['d']}")
    table(["computation", "device", "dtype", "seconds", "GFlop/s", "ceiling", "fraction", "x faster than CPU"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cpu", action="store_true", help="a reduced table on the CPU alone")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "float64"], default=["float32", "float64"])
    args = parser.parse_args()
    there = torch.cuda.is_available() and not args.cpu
    if not there and not args.cpu:
        raise SystemExit("No CUDA device is available here; --cpu runs a reduced table on the CPU alone.")
    torch.set_num_threads(os.cpu_count() or 1)
    n = args.samples or (1_000_000 if there else 20_000)
    devices = [torch.device(name) for name in (("cuda", "cpu") if there else ("cpu",))]
    names = {"cpu": platform.processor() or platform.machine()}
    if there:
        names["cuda"] = torch.cuda.get_device_name()
    print(", ".join(f"{device}: {name}" for device, name in names.items()) + f"; {torch.get_num_threads()} threads")
    rows = [
        row
        for device in devices
        for dtype in args.dtypes
        for row in measure(device, getattr(torch, dtype), n, args.features)
    ]
    output = "gpu" if there else "gpu-cpu-only"
    write(output, rows, devices=names, torch_threads=torch.get_num_threads())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_table(rows)
    print(printed.getvalue())
    (RESULTS / f"{output}.txt").write_text(printed.getvalue().lstrip())


if __name__ == "__main__":
    main()

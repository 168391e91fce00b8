"""Time and memory of a scan against the plain forward pass and against the usual hook recipe.

Every figure is taken in a process of its own, the processes interleaved (A B C A B C ...), and given as the median of
the rounds with the ratio to the plain forward pass of the same round. Observations are Breakout frames of random play.

    python benchmarks/scan.py                      # 4096 and 16384 observations, 5 rounds
    python benchmarks/scan.py --rows 65536 --rounds 3
    python benchmarks/scan.py --network mlp        # 2 x 256 dense, 17 numbers an observation
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("forward64", "forward128", "scores", "scan", "scan-h5", "read-h5", "hooks")


def collect_frames(rows: int) -> np.ndarray:
    """Play Breakout at random; return uint8 observations of shape (rows, 4, 84, 84)."""
    from ale_py.vector_env import AtariVectorEnv

    environments, rng = 8, np.random.default_rng(0)
    env = AtariVectorEnv("breakout", num_envs=environments)
    frames = np.empty((rows, 4, 84, 84), dtype=np.uint8)
    env.reset(seed=0)
    for start in range(0, rows, environments):
        observations, *_ = env.step(rng.integers(0, env.single_action_space.n, environments))
        frames[start : start + environments] = observations[: rows - start]
    env.close()
    return frames


def prepare(folder: Path, network: str, rows: int) -> None:
    """Write the observations once as .npy, for measures in memory, and once as a compressed sample."""
    from dormancy.io import ReplaySample, save_sample

    if network == "nature":
        observations = collect_frames(rows)
    else:
        observations = np.random.default_rng(0).standard_normal((rows, 17)).astype(np.float32)
    np.save(folder / "observations.npy", observations)
    save_sample(folder / "sample.h5", ReplaySample(observations))


def build(network: str) -> Any:
    import torch

    from dormancy.networks import MLPNetwork, NatureNetwork

    torch.manual_seed(0)
    model = NatureNetwork(4) if network == "nature" else MLPNetwork(17, 6, hidden=(256, 256))
    return model.eval()


def forward(model: Any, observations: np.ndarray, batch: int) -> None:
    """Run the network and throw the outputs away: what nobody can do without."""
    import torch

    with torch.inference_mode():
        for start in range(0, len(observations), batch):
            model(torch.from_numpy(observations[start : start + batch]))


def hook_recipe(model: Any, observations: np.ndarray) -> None:
    """Keep every activation, concatenate, score, and take a full SVD: what people paste into their scripts."""
    import torch

    kept: dict[str, list[Any]] = {}
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "weight")}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: kept.setdefault(name, []).append(torch.relu(out)))
        for name, module in layers.items()
        if name != "head"
    ]
    forward(model, observations, 256)
    for hook in hooks:
        hook.remove()
    for name, parts in kept.items():
        activations = torch.cat(parts)
        means = activations.abs().mean(dim=[0, *range(2, activations.dim())])
        dormant = (means / (means.mean() + 1e-9)) <= 0.1
        print(name, int(dormant.sum()), file=sys.stderr)
    singular = torch.linalg.svdvals(torch.cat(kept[list(kept)[-1]]))
    print(int((singular.cumsum(0) / singular.sum() < 0.99).sum()) + 1, file=sys.stderr)


def task(kind: str, folder: Path, network: str) -> Callable[[], object]:
    """Load what is not to be timed and return what is."""
    from dormancy.io import open_sample
    from dormancy.io.arrays.prefetch import slabs
    from dormancy.scanning.scanner import scan

    model = build(network)
    if kind.endswith("-h5"):

        def from_file() -> None:
            with open_sample(folder / "sample.h5") as sample:
                if kind == "scan-h5":
                    scan(model, sample, tau=[0.1, 0])
                else:
                    assert not isinstance(sample.observations, dict)
                    for _ in slabs(sample.observations, 512):  # type: ignore[arg-type]
                        pass

        return from_file
    observations = np.load(folder / "observations.npy")
    forward(model, observations[:256], 64)
    if kind.startswith("forward"):
        return lambda: forward(model, observations, int(kind.removeprefix("forward")))
    if kind == "hooks":
        return lambda: hook_recipe(model, observations)
    metrics = [] if kind == "scores" else None
    return lambda: scan(model, observations, tau=[0.1, 0], metrics=metrics)


def worker(kind: str, folder: Path, network: str) -> None:
    """Time one measure and print seconds, processor seconds and the peak memory that it added, in MB."""
    run = task(kind, folder, network)
    if kind.startswith("scan") or kind == "scores":
        from dormancy.scanning.scanner import scan

        scan(build(network), np.load(folder / "observations.npy", mmap_mode="r")[:64])  # imports and caches
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    run()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "busy": busy, "megabytes": (after - before) / 1024}))


def measure(kind: str, folder: Path, network: str, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", kind, "--folder", str(folder), "--network", network]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def table(network: str, rows: int, rounds: int, threads: int) -> str:
    """Measure every kind `rounds` times in turn and lay the medians out as a Markdown table."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, network, rows)
        for _ in range(rounds):
            for kind in KINDS:
                found[kind].append(measure(kind, folder, network, threads))
    best = min(("forward64", "forward128"), key=lambda kind: statistics.median(run["busy"] for run in found[kind]))
    head = f"{rows} observations, {network}, {threads} threads"
    lines = [f"| {head} | seconds | x {best} | processor s | x {best} | added MB |", "|---|---:|---:|---:|---:|---:|"]
    for kind, runs in found.items():
        cells = [kind]
        for figure in ("seconds", "busy"):
            pairs = zip(runs, found[best], strict=True)
            ratio = statistics.median(mine[figure] / plain[figure] for mine, plain in pairs)
            cells += [f"{statistics.median(run[figure] for run in runs):.2f}", f"{ratio:.2f}"]
        cells.append(f"{statistics.median(run['megabytes'] for run in runs):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("nature", "mlp"), default="nature")
    parser.add_argument("--rows", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--threads", type=int, default=2, help="of torch; 1 measures best on a busy machine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.folder, options.network)
        return
    for rows in options.rows:
        print(table(options.network, rows, options.rounds, options.threads), end="\n\n", flush=True)


if __name__ == "__main__":
    main()

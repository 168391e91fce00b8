"""Files that real libraries write, scanned as their users would, against forward hooks in the library itself.

Each library is installed in a throwaway environment, so these tests are not part of `make test`:
``make test-libraries`` runs all, ``make test-libraries LIBRARY=sb3`` runs one. A writer (`writers/NAME_files.py`) saves
files with the library's own functions. Beside each it notes what hooks in the original network measured on the same
observations.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dormancy.io import ReplaySample, save_sample
from dormancy_cli.main import run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = Path(os.environ.get("DORMANCY_LIBRARIES", ROOT / ".venv-libraries"))
PINNED = ["-c", str(ROOT / "constraints" / "ci.txt")]
TORCH = ["torch==2.13.0", "numpy"]
PACKAGES = {
    "sb3": [*PINNED, "stable-baselines3", "sb3-contrib"],
    "cleanrl": [*PINNED, "gymnasium"],
    "lightning": [*PINNED, "lightning", "gymnasium"],
    "accelerate": [*PINNED, "accelerate", "huggingface_hub", "safetensors"],
    "dcp": PINNED,
    "tianshou": ["tianshou>=2.0.0"],
    "skrl": [*PINNED, "skrl", "gymnasium"],
    "d3rlpy": [*PINNED, "d3rlpy", "gymnasium"],
    "torchrl": [*PINNED, "torchrl", "gymnasium"],
    "rllib": ["ray[rllib]"],
    "flax": [*PINNED, "flax", "optax", "orbax-checkpoint", "safetensors"],
    "sbx": [*PINNED, "sbx-rl"],
    "pfrl": ["pfrl", "gymnasium", "packaging"],
    "rlgames": ["rl_games", "gymnasium"],
    "samplefactory": ["sample-factory"],
    "sheeprl": ["sheeprl"],
    "agilerl": ["agilerl", "peft"],
}
REFUSED = frozenset((HERE / "refused.txt").read_text(encoding="utf-8").splitlines())
"""Networks that are refused today, as LIBRARY/FILE NETWORK. `docs/compatibility.md` says what to save instead."""

WARNED = "taken as the sample has them"
"""In the warning about observations or actions that the library prepared in a way that the file does not hold."""

TOLERANCE = 1e-5
"""In units of the layer's mean. The library computes in float32 itself, in another order of sums."""


def files_of(library: str, folder: Path) -> list[dict[str, Any]]:
    """Install the library, let its writer write to `folder`, and return what the writer noted."""
    environment = ENVIRONMENTS / library
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *TORCH, *PACKAGES[library]], check=True)
        (environment / "installed").touch()
    writer = HERE / "writers" / f"{library}_files.py"
    options = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
    subprocess.run([str(python), str(writer), str(folder)], check=True, cwd=folder, env=options)
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.truth.json"))]


def sample_of(folder: Path, name: str) -> Path:
    """Return the sample to scan with: the library's own, or the raw observations as a dormancy sample."""
    if not name.endswith(".npz"):
        return folder / name
    with np.load(folder / name) as file:
        arrays = dict(file)
    parts = {key.split(".", 1)[1]: value for key, value in arrays.items() if key.startswith("observations.")}
    sample = ReplaySample(observations=parts or arrays["observations"], actions=arrays.get("actions"))
    return save_sample(folder / f"{name}.h5", sample, force=True)


def difference(scan: dict[str, Any], layers: list[dict[str, Any]]) -> str:
    """Return what differs between a scan and the layers of the original, or nothing.

    A rebuilt network may name its layers differently, so each layer is compared with the nearest of its size.
    """
    found, left = scan["layers"], list(layers)
    if sorted(layer["neurons"] for layer in found) != sorted(layer["neurons"] for layer in left):
        read, right = [(x["name"], x["neurons"]) for x in found], [(x["module"], x["neurons"]) for x in left]
        return f"layers {read}, right {right}"
    wrong = []
    for layer in found:
        scores = np.array(layer["scores"], dtype=np.float64)
        alike = [other for other in left if other["neurons"] == layer["neurons"]]
        distances = [float(np.abs(np.array(other["scores"]) - scores).max()) for other in alike]
        nearest = alike[int(np.argmin(distances))]
        left.remove(nearest)
        if min(distances) > TOLERANCE:
            wrong.append(f"{layer['name']} is not {nearest['module']}: scores differ by {min(distances):.2g}")
    return "; ".join(wrong)


@pytest.mark.libraries
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("library", PACKAGES)
def test_a_scan_says_what_the_library_computes(
    library: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults, right = [], 0
    for noted in files_of(library, tmp_path):
        sample = sample_of(tmp_path, noted["sample"])
        for network, truth in noted["networks"].items():
            case = f"{library}/{noted['file']} {network}"
            capsys.readouterr()
            arguments = ["scan", str(tmp_path / noted["file"]), "--sample", str(sample), "--tau", "0.1", "--tau", "0"]
            code = run([*arguments, "--metrics", "score", "--format", "json", *truth["flags"]])
            out, err = capsys.readouterr()
            if code == 0:
                scans = [scan for one in json.loads(out)["runs"] for scan in one["scans"]]
                differs = difference(scans[0], truth["layers"]) if len(scans) == 1 else f"{len(scans)} scans"
                right += not differs
                faults += [f"{case}: {differs}"] if differs and WARNED not in err else []
            elif code != 3 or not err.startswith("error: ") or len(err.strip().splitlines()) != 1:
                faults.append(f"{case}: exit code {code}, {err[-300:]}")
            elif case not in REFUSED:
                faults.append(f"{case}: {err.strip()[:300]}")
    assert not faults, f"{right} right, {len(faults)} not:\n" + "\n".join(faults)


def test_each_library_has_a_writer() -> None:
    assert {f"{library}_files.py" for library in PACKAGES} == {p.name for p in (HERE / "writers").glob("*_files.py")}


def test_what_is_refused_belongs_to_a_library() -> None:
    assert {line.split("/", 1)[0] for line in REFUSED} <= set(PACKAGES)


def test_a_difference_is_seen() -> None:
    layer = {"name": "0", "module": "a", "neurons": 2, "scores": [0.5, 1.5]}
    assert difference({"layers": [layer]}, [layer]) == ""
    assert "differ by 0.5" in difference({"layers": [{**layer, "scores": [0.0, 2.0]}]}, [layer])
    assert "right" in difference({"layers": []}, [layer])

"""Every registered metric once more, in NumPy float64, from the definitions and not from our code.

A `Case` is a small dense network as arrays, with observations and, where wanted, what followed them. Activations and
gradients are worked out here by hand; nothing of torch is used, save that the plasticity probe's fresh weights are
drawn by the network itself. Bootstrap weights are taken as given; tests/test_stats.py looks at how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from dormancy.hashed_random import poisson_weights
from dormancy.metrics import plasticity as probe
from dormancy.networks import MLPNetwork
from tests.reference.networks import scores

Floats = NDArray[np.float64]
erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(z: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(z / 2))


def _cdf(z: Floats) -> Floats:
    return 0.5 * (1 + erf(z / math.sqrt(2)))


ACTIVATIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z: np.exp(np.minimum(z, 0))),
    "gelu": (lambda z: z * _cdf(z), lambda z: _cdf(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
}


@dataclass(eq=False)
class Dense:
    """Weights (outputs, inputs) and biases of fc1, fc2, ..., head."""

    weights: list[Floats]
    biases: list[Floats]
    activation: str

    def forward(self, x: Floats) -> tuple[list[Floats], list[Floats], Floats]:
        """Return what goes into each nonlinearity, what comes out, and the outputs."""
        function, zs, hs = ACTIVATIONS[self.activation][0], [], []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            zs.append((hs[-1] if hs else x) @ weight.T + bias)
            hs.append(function(zs[-1]))
        return zs, hs, (hs[-1] if hs else x) @ self.weights[-1].T + self.biases[-1]

    def backward(self, x: Floats, output_gradient: Floats) -> tuple[list[Floats], list[tuple[Floats, Floats]]]:
        """Return, for each row by itself, the gradients of every h, and of every weight and bias."""
        zs, hs, _ = self.forward(x)
        slope, flow = ACTIVATIONS[self.activation][1], output_gradient
        of_h: list[Floats] = []
        of_parameters: list[tuple[Floats, Floats]] = []
        for index in range(len(self.weights) - 1, -1, -1):
            below = hs[index - 1] if index else x
            of_parameters.append((np.einsum("no,ni->noi", flow, below), flow))
            if index:
                of_h.append(flow @ self.weights[index])
                flow = of_h[-1] * slope(zs[index - 1])
        return of_h[::-1], of_parameters[::-1]

    @property
    def flat(self) -> Floats:
        return np.concatenate([part.ravel() for pair in zip(self.weights, self.biases, strict=True) for part in pair])


@dataclass(eq=False)
class Case:
    """A network with observations (rows, inputs), and what a metric may ask for besides."""

    net: Dense
    before: Dense
    x: Floats
    episodes: NDArray[np.int64]
    tau: float
    next_x: Floats | None = None
    actions: NDArray[np.int64] | None = None
    rewards: Floats | None = None
    ends: Floats | None = None

    @property
    def names(self) -> list[str]:
        return [f"fc{index + 1}" for index in range(len(self.net.weights) - 1)]

    @cached_property
    def layers(self) -> dict[str, Floats]:
        return dict(zip(self.names, self.net.forward(self.x)[1], strict=True))

    @property
    def features(self) -> Floats:
        return self.layers[self.names[-1]]

    @cached_property
    def output_gradient(self) -> Floats:
        """∂L/∂outputs of each row: of the Huber TD error where there are transitions, else of half the squared sum."""
        outputs = self.net.forward(self.x)[2]
        if self.next_x is None:
            return outputs
        future = self.net.forward(self.next_x)[2].max(axis=1) * (1 - self.ends)
        rows = np.arange(len(outputs))
        error = outputs[rows, self.actions] - self.rewards - 0.99 * future
        gradient = np.zeros_like(outputs)
        gradient[rows, self.actions] = np.clip(error, -1, 1)
        return gradient

    @cached_property
    def gradients(self) -> dict[str, Floats]:
        return dict(zip(self.names, self.net.backward(self.x, self.output_gradient)[0], strict=True))

    @cached_property
    def row_gradients(self) -> Floats:
        parts = self.net.backward(self.x, self.output_gradient)[1]
        return np.concatenate([each.reshape(len(self.x), -1) for pair in parts for each in pair], axis=1)


@dataclass
class Expected:
    neurons: dict[str, Floats] = field(default_factory=dict)
    layers: dict[str, float] = field(default_factory=dict)
    network: float | None = None
    detail: dict[str, object] = field(default_factory=dict)


def _normalised(sizes: Floats) -> Floats:
    return sizes / sizes.mean() if sizes.any() else np.zeros_like(sizes)


def _shares(flags: dict[str, NDArray[np.bool_]]) -> tuple[dict[str, float], float | None]:
    if not flags:
        return {}, None
    count = sum(int(each.sum()) for each in flags.values())
    return {name: float(each.mean()) for name, each in flags.items()}, count / sum(each.size for each in flags.values())


def score(case: Case) -> Expected:
    return Expected({name: scores(h) for name, h in case.layers.items()})


def constant(case: Case) -> Expected:
    found = {name: _normalised(np.abs(h - h.mean(0)).mean(0)) for name, h in case.layers.items()}
    return Expected(found, *_shares({name: each <= case.tau for name, each in found.items()}))


def dead(case: Case) -> Expected:
    rules: dict[str, Callable[[Floats], NDArray[np.bool_]]] = {
        "relu": lambda h: (h == 0).all(0),
        "gelu": lambda h: (h == 0).all(0),
        "silu": lambda h: (h == 0).all(0),
        "leaky_relu": lambda h: (h < 0).all(0),
        "elu": lambda h: h.std(0) < 0.001,
        "tanh": lambda h: (np.abs(h) > 0.99).all(0) | (h.std(0) < 0.001),
    }
    flags = {name: rules[case.net.activation](h) for name, h in case.layers.items()}
    return Expected({name: each.astype(float) for name, each in flags.items()}, *_shares(flags))


def saturated(case: Case) -> Expected:
    layers = case.layers if case.net.activation == "tanh" else {}
    shares = {name: (np.abs(h) > 0.99).mean(0) for name, h in layers.items()}
    return Expected(shares, *_shares({name: each == 1 for name, each in shares.items()}))


def linearised(case: Case) -> Expected:
    zs = dict(zip(case.names, case.net.forward(case.x)[0], strict=True)) if case.net.activation != "tanh" else {}
    shares = {name: (z > 0).mean(0) for name, z in zs.items()}
    return Expected(shares, *_shares({name: each >= 0.9 for name, each in shares.items()}))


def nonfinite(case: Case) -> Expected:
    nothing = {name: np.zeros(h.shape[1]) for name, h in case.layers.items()}
    return Expected(nothing, *_shares({name: each > 0 for name, each in nothing.items()}))


def _of_spectrum(rank: Callable[[Floats], float]) -> Callable[[Case], Expected]:
    def measure(case: Case) -> Expected:
        sigma = np.linalg.svd(case.features, compute_uv=False)
        return Expected(layers={case.names[-1]: rank(sigma) if sigma.any() else 0.0})

    return measure


def _first(sums: Floats, enough: float) -> float:
    return float(np.flatnonzero(np.append(sums[:-1], 1.0) >= enough)[0] + 1)


def _entropy(sigma: Floats) -> float:
    p = sigma[sigma > 0] / sigma.sum()
    return math.exp(-sum(float(q) * math.log(q) for q in p))


def feature_rank(case: Case) -> Expected:
    sigma = np.linalg.svd(case.features, compute_uv=False) / math.sqrt(len(case.x))
    return Expected(layers={case.names[-1]: float((sigma > 0.01).sum())})


def feature_norm(case: Case) -> Expected:
    return Expected(layers={case.names[-1]: float(np.sqrt((case.features**2).sum(1)).mean())})


def dr3(case: Case) -> Expected:
    now, then = case.features, case.net.forward(case.next_x)[1][-1]
    name, products = case.names[-1], [float(a @ b) for a, b in zip(now, then, strict=True)]
    norms = [float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(now, then, strict=True)]
    cosines = [product / norm for product, norm in zip(products, norms, strict=True) if norm > 0]
    cosine = float(np.mean(cosines)) if cosines else None
    return Expected(layers={name: float(np.mean(products))}, detail={"mean_cosine": cosine})


def weight_norm(case: Case) -> Expected:
    pairs = zip(case.names, case.net.weights, case.net.biases, strict=False)
    layers = {name: math.sqrt((weight**2).sum() + (bias**2).sum()) for name, weight, bias in pairs}
    return Expected(layers=layers, network=float(np.linalg.norm(case.net.flat)))


def drift(case: Case) -> Expected:
    layers = {}
    for index, name in enumerate(case.names):
        here, there = (
            np.concatenate([net.weights[index].ravel(), net.biases[index]]) for net in (case.net, case.before)
        )
        layers[name] = float(np.sqrt(np.mean((here - there) ** 2)))
    return Expected(layers=layers, network=float(np.sqrt(np.mean((case.net.flat - case.before.flat) ** 2))))


def churn(case: Case) -> Expected:
    old, new = case.before.forward(case.x)[2], case.net.forward(case.x)[2]
    flips = float((old.argmax(1) != new.argmax(1)).mean()) if old.shape[1] > 1 else None
    return Expected(network=float(((new - old) ** 2).mean()), detail={"greedy_flips": flips})


def grama(case: Case) -> Expected:
    found = {name: _normalised(np.abs(g).mean(0)) for name, g in case.gradients.items()}
    return Expected(found, *_shares({name: each <= case.tau for name, each in found.items()}))


def activation_gradient(case: Case) -> Expected:
    found = {name: _normalised(np.abs(case.layers[name] * g).mean(0)) for name, g in case.gradients.items()}
    return Expected(found, *_shares({name: each <= case.tau for name, each in found.items()}))


def gradient_norm(case: Case) -> Expected:
    g = case.row_gradients  # all rows: a case has no more than the metric looks at
    norms = np.linalg.norm(g, axis=1)
    pairs = [(i, j) for i in range(len(g)) for j in range(len(g)) if i != j and norms[i] > 0 and norms[j] > 0]
    cosines = [float(g[i] @ g[j] / (norms[i] * norms[j])) for i, j in pairs]
    detail = {"mean_row_norm": float(norms.mean()), "mean_cosine": float(np.mean(cosines)) if cosines else None}
    return Expected(network=float(np.linalg.norm(g.mean(0))), detail=detail)


def uncertainty(case: Case) -> Expected:
    """Lay every replicate out row by row, as often as it was drawn, and score it as if it were the sample."""
    weights = poisson_weights(np.unique(case.episodes, return_inverse=True)[1].ravel(), 400)
    drawn = [np.repeat(np.arange(len(case.x)), weights[:, b].astype(int)) for b in range(400)]
    flips: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    for name, h in case.layers.items():
        observed = scores(h)
        root = np.cbrt(observed)
        copies = [np.maximum(2 * root - np.cbrt(scores(h[rows])), 0) ** 3 for rows in drawn if rows.size]
        flips[name] = np.mean([(copy <= case.tau) != (observed <= case.tau) for copy in copies], axis=0)
        counts[name] = np.array([(copy <= case.tau).sum() for copy in copies], dtype=float)
    sizes = {name: h.shape[1] for name, h in case.layers.items()}
    network = sum(counts.values()) / sum(sizes.values())
    return Expected(
        flips, {name: float(np.std(counts[name] / sizes[name], ddof=1)) for name in sizes}, float(network.std(ddof=1))
    )


def _targets(x: Floats, outputs: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    w, phases = rng.standard_normal((x.shape[1], outputs)), rng.uniform(0, 2 * math.pi, outputs)
    p = (x - x.mean(0)) @ w
    standard = np.where(p.std(0) > 0, p / np.where(p.std(0) > 0, p.std(0), 1), 0)
    return np.sin(3 * standard + phases)


def _fitted_loss(net: Dense, x: Floats, y: Floats) -> float:
    """Train by Adam (Kingma & Ba 2015, Algorithm 1) on all rows; return the last loss."""
    parameters = [part.copy() for pair in zip(net.weights, net.biases, strict=True) for part in pair]
    first, second = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    for step in range(1, probe.STEPS + 1):
        current = Dense(parameters[0::2], parameters[1::2], net.activation)
        error = current.forward(x)[2] - y
        gradients = [g.sum(0) for pair in current.backward(x, 2 * error / error.size)[1] for g in pair]
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= 0.001 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    final = Dense(parameters[0::2], parameters[1::2], net.activation)
    return float(((final.forward(x)[2] - y) ** 2).mean())


def _fresh(net: Dense, seed: int) -> Dense:
    sizes = [weight.shape[0] for weight in net.weights]
    model = MLPNetwork(net.weights[0].shape[1], sizes[-1], hidden=sizes[:-1], activation=net.activation).double()
    torch.manual_seed(seed)
    model.reset_parameters()
    arrays = [parameter.detach().numpy() for parameter in model.parameters()]
    order = [name for name, _ in model.named_parameters()]
    layers = [f"fc{index + 1}" for index in range(len(sizes) - 1)] + ["head"]
    found = dict(zip(order, arrays, strict=True))
    return Dense([found[f"{n}.weight"] for n in layers], [found[f"{n}.bias"] for n in layers], net.activation)


def plasticity(case: Case) -> Expected:
    logs = []
    for seed in range(probe.SEEDS):
        y = _targets(case.x, case.net.weights[-1].shape[0], seed)
        logs.append(math.log(_fitted_loss(case.net, case.x, y) / _fitted_loss(_fresh(case.net, seed), case.x, y)))
    return Expected(network=math.exp(float(np.mean(logs))))


NEED_TRANSITIONS = frozenset({"dr3"})
"""What cannot be told of a sample that does not say what followed."""

REFERENCES: dict[str, Callable[[Case], Expected]] = {
    "score": score,
    "constant": constant,
    "dead": dead,
    "saturated": saturated,
    "linearised": linearised,
    "nonfinite": nonfinite,
    "srank": _of_spectrum(lambda s: _first(np.cumsum(s) / s.sum(), 0.99)),
    "entropy_rank": _of_spectrum(_entropy),
    "stable_rank": _of_spectrum(lambda s: float(((s / s[0]) ** 2).sum())),
    "pca_rank": _of_spectrum(lambda s: _first(np.cumsum(s**2) / (s**2).sum(), 0.99)),
    "feature_rank": feature_rank,
    "feature_norm": feature_norm,
    "dr3": dr3,
    "weight_norm": weight_norm,
    "drift": drift,
    "churn": churn,
    "grama": grama,
    "activation_gradient": activation_gradient,
    "gradient_norm": gradient_norm,
    "uncertainty": uncertainty,
    "probe": plasticity,
}

"""Many small networks, each with inputs: what every rewriting of neurons is tried on.

An entry is a function without arguments that returns (model, inputs); weights are drawn by the caller's seed. `REFUSED`
names, for each architecture, the layers that must not be rewritten and a word that the obstacle must contain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.networks import ImpalaNetwork, MinAtarNetwork, MLPNetwork, NatureNetwork, SACNetwork

Entry = Callable[[], tuple[nn.Module, Any]]
ZOO: dict[str, Entry] = {}
REFUSED: dict[str, dict[str, str]] = {}


def entry(name: str, refused: dict[str, str] | None = None) -> Callable[[Entry], Entry]:
    def add(build: Entry) -> Entry:
        ZOO[name] = build
        REFUSED[name] = refused or {}
        return build

    return add


class Functional(nn.Module):
    """A network whose forward pass is a function of its children: brevity for the tests below."""

    def __init__(self, forward: Callable[..., Any], **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)
        self._forward = forward

    def forward(self, *inputs: Tensor) -> Any:
        return self._forward(self, *inputs)


def pixels(rows: int = 3, channels: int = 4, side: int = 84) -> Tensor:
    return torch.randint(0, 256, (rows, channels, side, side), dtype=torch.uint8)


@entry("nature-valid")
def _() -> tuple[nn.Module, Any]:
    return NatureNetwork(6, width=0.25), pixels()


@entry("nature-same")
def _() -> tuple[nn.Module, Any]:
    return NatureNetwork(6, width=0.25, padding="same"), pixels()


@entry("nature-dueling")
def _() -> tuple[nn.Module, Any]:
    return NatureNetwork(6, width=0.25, dueling=True), pixels()


@entry("nature-crelu")
def _() -> tuple[nn.Module, Any]:
    return NatureNetwork(6, width=0.25, activation="crelu", dueling=True), pixels()


@entry("nature-layer-norm")
def _() -> tuple[nn.Module, Any]:
    return NatureNetwork(6, width=0.25, norm="layer"), pixels()


def streams(activation: str) -> dict[str, str]:
    """Name what an IMPALA network adds up."""
    found = [f"stack{index}.{part}" for index in (1, 2, 3) for part in ("conv", f"block2.{activation}")]
    return dict.fromkeys([*found, activation], "added to another branch")


@entry("impala", streams("relu"))
def _() -> tuple[nn.Module, Any]:
    return ImpalaNetwork(5, (4, 20, 20), width=0.125), pixels(side=20)


@entry("impala-dueling-leaky", streams("leaky_relu"))
def _() -> tuple[nn.Module, Any]:
    inner = [8, 16, 24, 32, 40, 48]
    return ImpalaNetwork(5, (4, 20, 20), 0.125, activation="leaky_relu", dueling=True, inner=inner), pixels(side=20)


@entry("minatar")
def _() -> tuple[nn.Module, Any]:
    return MinAtarNetwork(3, (6, 10, 10)), torch.randint(0, 2, (5, 6, 10, 10), dtype=torch.uint8)


@entry("mlp-crelu-layer-norm")
def _() -> tuple[nn.Module, Any]:
    return MLPNetwork(5, 3, hidden=(16, 16), activation="crelu", norm="layer"), torch.randn(7, 5)


@entry("mlp")
def _() -> tuple[nn.Module, Any]:
    return MLPNetwork(5, 3, hidden=(16, 16)), torch.randn(7, 5)


@entry("mlp-one-neuron")
def _() -> tuple[nn.Module, Any]:
    return MLPNetwork(5, 1, hidden=(1, 1), activation="tanh"), torch.randn(7, 5)


@entry("mlp-leaky")
def _() -> tuple[nn.Module, Any]:
    return MLPNetwork(5, 3, hidden=(16,), activation="leaky_relu"), torch.randn(7, 5)


@entry("sequential-in-place")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.Linear(5, 9), nn.ReLU(inplace=True), nn.Linear(9, 8), nn.ELU(inplace=True), nn.Linear(8, 2)]
    return nn.Sequential(*layers), torch.randn(7, 5)


@entry("reused-relu-module")
def _() -> tuple[nn.Module, Any]:
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(5, 9), relu, nn.Linear(9, 8), relu, nn.Linear(8, 2)), torch.randn(7, 5)


@entry("clamp-at-zero")
def _() -> tuple[nn.Module, Any]:
    return Functional(lambda m, x: m.b(m.a(x).clamp(min=0)), a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("bias-free-tanh")
def _() -> tuple[nn.Module, Any]:
    return nn.Sequential(nn.Linear(5, 9, bias=False), nn.Tanh(), nn.Linear(9, 2, bias=False)), torch.randn(7, 5)


@entry("hwc-flatten")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(F.relu(m.conv(x)).permute(0, 2, 3, 1).flatten(1))

    return Functional(forward, conv=nn.Conv2d(3, 6, 3), head=nn.Linear(6 * 16, 2)), torch.randn(7, 3, 6, 6)


@entry("max-pool")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.Flatten(), nn.Linear(54, 2)]
    return nn.Sequential(*layers), torch.randn(7, 3, 6, 6)


@entry("global-average-pool")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(F.silu(m.conv(x)).mean(dim=(2, 3)))

    return Functional(forward, conv=nn.Conv2d(3, 6, 3), head=nn.Linear(6, 2)), torch.randn(7, 3, 6, 6)


@entry("grouped-and-depthwise")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)), torch.randn(7, 4, 6, 6)


@entry("transposed-convolution")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.ConvTranspose2d(3, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)]
    return nn.Sequential(*layers), torch.randn(7, 3, 4, 4)


@entry("conv1d")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.Conv1d(3, 6, 3), nn.ReLU(), nn.Conv1d(6, 5, 3), nn.GELU(), nn.Flatten(), nn.Linear(20, 2)]
    return nn.Sequential(*layers), torch.randn(7, 3, 8)


@entry("batch-norm-before")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 2)]
    return nn.Sequential(*layers), torch.randn(7, 3, 6, 6)


@entry("batch-norm-behind")
def _() -> tuple[nn.Module, Any]:
    norm = nn.BatchNorm2d(6)
    nn.init.uniform_(norm.bias, 0.5, 1.0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), norm, nn.Flatten(), nn.Linear(96, 2)), torch.randn(7, 3, 6, 6)


@entry("layer-norm-before")
def _() -> tuple[nn.Module, Any]:
    return nn.Sequential(nn.Linear(5, 9), nn.LayerNorm(9), nn.ReLU(), nn.Linear(9, 2)), torch.randn(7, 5)


@entry("layer-norm-behind")
def _() -> tuple[nn.Module, Any]:
    return nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.LayerNorm(9), nn.Linear(9, 2)), torch.randn(7, 5)


@entry("group-norm-before")
def _() -> tuple[nn.Module, Any]:
    layers = [nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 2)]
    return nn.Sequential(*layers), torch.randn(7, 3, 6, 6)


@entry("constant-behind")
def _() -> tuple[nn.Module, Any]:
    return Functional(lambda m, x: m.b(m.a(x).relu() + 1.0), a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("crelu")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.b(torch.cat([y.relu(), (-y).relu()], dim=-1))

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(18, 2)), torch.randn(7, 5)


@entry("twin-critics-with-actions")
def _() -> tuple[nn.Module, Any]:
    def critic() -> nn.Module:
        return nn.Sequential(nn.Linear(11, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(m: Any, x: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([m.encoder(x).relu(), action], dim=-1)
        return m.q1(joined), m.q2(joined)

    return Functional(forward, encoder=nn.Linear(5, 9), q1=critic(), q2=critic()), (
        torch.randn(7, 5),
        torch.randn(7, 2),
    )


@entry("actor-with-tanh-squash")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> dict[str, Tensor]:
        hidden = m.trunk(x).relu()
        return {"mean": torch.tanh(m.mean(hidden)), "log_std": m.log_std(hidden).clamp(-20, 2)}

    heads = {"mean": nn.Linear(9, 2), "log_std": nn.Linear(9, 2)}
    return Functional(forward, trunk=nn.Linear(5, 9), **heads), torch.randn(7, 5)


@entry("weights-as-matrices")
def _() -> tuple[nn.Module, Any]:
    class Raw(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w1, self.b1 = nn.Parameter(torch.randn(5, 9)), nn.Parameter(torch.randn(9))
            self.w2 = nn.Parameter(torch.randn(9, 2))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ self.w1 + self.b1) @ self.w2

    return Raw(), torch.randn(7, 5)


@entry("fused-heads-in-one-parameter")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        first, second = m.both.weight.chunk(2)
        return F.linear(F.relu(F.linear(x, first)), m.a.weight) + F.linear(F.relu(F.linear(x, second)), m.b.weight)

    children = {
        "both": nn.Linear(5, 18, bias=False),
        "a": nn.Linear(9, 2, bias=False),
        "b": nn.Linear(9, 2, bias=False),
    }
    return Functional(forward, **children), torch.randn(7, 5)


@entry("residual", {"relu": "added to another branch", "stem": "also used elsewhere"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        stem = F.max_pool2d(m.stem(x), 2)
        joined = stem + m.second(F.relu(m.first(F.relu(stem))))
        return m.head(F.relu(m.dense(F.relu(joined).flatten(1))))

    children = {"stem": nn.Conv2d(3, 6, 3, padding=1), "first": nn.Conv2d(6, 6, 3, padding=1)}
    children |= {"second": nn.Conv2d(6, 6, 3, padding=1), "dense": nn.Linear(54, 8), "head": nn.Linear(8, 2)}
    return Functional(forward, **children), torch.randn(7, 3, 6, 6)


@entry("pre-activation-as-output", {"a": "also an output"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        y = m.a(x)
        return m.b(y.relu()), y

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("pre-activation-read-too", {"a": "also used elsewhere"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.b(y.relu()) + m.c(y)

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2), c=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("transformer-block", {"0": "added to another branch"})
def _() -> tuple[nn.Module, Any]:
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.1)
    encoder = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), encoder, nn.Linear(8, 2)), torch.randn(7, 3, 5)


@entry("lstm", {"lstm": "recurrent"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(m.lstm(m.dense(x).relu())[0])

    children = {"dense": nn.Linear(5, 8), "lstm": nn.LSTM(8, 6, batch_first=True), "head": nn.Linear(6, 2)}
    return Functional(forward, **children), torch.randn(7, 3, 5)


@entry("rms-norm-by-hand", {"a": "mixed at 'mean'"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        hidden = m.a(x).relu()
        return m.b(hidden * torch.rsqrt(hidden.pow(2).mean(dim=-1, keepdim=True) + 1e-6))

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("weights-used-twice")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor, y: Tensor) -> Tensor:
        return m.b(torch.cat([m.a(x).relu(), m.a(y).relu()], dim=-1))

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(18, 2)), (torch.randn(7, 5), torch.randn(7, 5))


@entry("features-as-output", {"a": "output of the network"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = m.a(x).relu()
        return m.b(hidden), hidden

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("written-through-a-view", {"a": "view"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        hidden = m.a(x).relu()
        hidden[:, :4].mul_(2.0)
        return m.b(hidden)

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("positions-mixed", {"a": "positions"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(m.a(x).relu().transpose(1, 2))

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(3, 2)), torch.randn(7, 3, 5)


@entry("unknown-operation", {"a": "sort"})
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(m.a(x).relu().sort(dim=-1).values)

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("conv-crelu-under-one-relu")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        return m.head(F.relu(torch.cat([y, -y], dim=1)).flatten(1))

    return Functional(forward, conv=nn.Conv2d(3, 4, 3), head=nn.Linear(8 * 16, 2)), torch.randn(7, 3, 6, 6)


@entry("inputs-by-name-outputs-nested")
def _() -> tuple[nn.Module, Any]:
    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.eye, self.body = nn.Conv2d(3, 4, 3), nn.Linear(5, 6)
            self.trunk, self.value, self.logits = nn.Linear(4 * 16 + 6, 8), nn.Linear(8, 1), nn.Linear(8, 3)

        def forward(self, image: Tensor, state: Tensor) -> dict[str, Any]:
            seen = F.relu(self.eye(image)).flatten(1)
            joined = torch.cat([seen, torch.tanh(self.body(state))], dim=1)
            hidden = F.elu(self.trunk(joined))
            logits = self.logits(hidden)
            return {"value": self.value(hidden), "policy": (logits, {"doubled": 2 * logits})}

    return Policy(), {"image": torch.randn(7, 3, 6, 6), "state": torch.randn(7, 5)}


@entry("swish-by-hand")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.b(y * torch.sigmoid(y))

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), torch.randn(7, 5)


@entry("sac")
def _() -> tuple[nn.Module, Any]:
    inputs = {"observations": torch.randn(7, 5), "actions": torch.rand(7, 2) * 2 - 1}
    return SACNetwork(5, 2, hidden={"actor": (8, 6), "q1": (9, 7), "q2": (4,)}), inputs


@entry("written-out-nonlinearities")
def _() -> tuple[nn.Module, Any]:
    def quick_gelu(y: Tensor) -> Tensor:
        return y * torch.sigmoid(1.702 * y)

    def mish(y: Tensor) -> Tensor:
        return y * torch.tanh(F.softplus(y))

    def gelu(y: Tensor) -> Tensor:
        return 0.5 * y * (1.0 + torch.tanh(0.797885 * y))

    def forward(m: Any, x: Tensor) -> Tensor:
        hidden = gelu(m.third(mish(m.second(quick_gelu(m.first(x))))))
        return m.head(hidden.flatten(1))

    children = {"first": nn.Conv2d(3, 5, 3), "second": nn.Conv2d(5, 6, 1), "third": nn.Conv2d(6, 4, 1)}
    return Functional(forward, **children, head=nn.Linear(64, 2)), torch.randn(7, 3, 6, 6)


@entry("two-products-under-one-relu")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor, action: Tensor) -> Tensor:
        return m.head(torch.cat([m.state(x), m.action(action)], dim=1).relu())

    children = {"state": nn.Linear(5, 6), "action": nn.Linear(2, 3), "head": nn.Linear(9, 1)}
    return Functional(forward, **children), (torch.randn(7, 5), torch.randn(7, 2))


@entry("gated-linear-unit")
def _() -> tuple[nn.Module, Any]:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.c(m.a(x) * torch.sigmoid(m.b(x)))

    return Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(5, 9), c=nn.Linear(9, 2)), torch.randn(7, 5)

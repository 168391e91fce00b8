"""The activations of networks that other libraries saved, in plain NumPy float64, written from their published code.

Each function takes the weights by the names of the file, and the inputs; it returns the values behind each nonlinearity
in the order of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.reference.networks import Floats, Weights, convolve, pad_same, relu

Inputs = Mapping[str, np.ndarray]
Forward = Callable[[Weights, Inputs], list[Floats]]


def affine(w: Weights, name: str, x: Floats) -> Floats:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def conv(w: Weights, name: str, x: Floats, stride: int) -> Floats:
    return convolve(x, w[f"{name}.weight"], w[f"{name}.bias"], stride)


def elu(x: Floats) -> Floats:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def layer_norm(w: Weights, name: str, x: Floats, eps: float = 1e-5) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def batch_norm(w: Weights, name: str, x: Floats) -> Floats:
    shape = (1, -1, *(1,) * (x.ndim - 2))
    part = {key: w[f"{name}.{key}"].reshape(shape) for key in ("weight", "bias", "running_mean", "running_var")}
    return (x - part["running_mean"]) / np.sqrt(part["running_var"] + 1e-5) * part["weight"] + part["bias"]


def pixels(given: Inputs) -> Floats:
    return np.asarray(given["observations"], dtype=np.float64) / 255.0


def rows(given: Inputs) -> Floats:
    return np.concatenate([np.asarray(values, dtype=np.float64) for values in given.values()], axis=1)


def chain(w: Weights, names: list[str], x: Floats, kind: Callable[[Floats], Floats] = relu) -> list[Floats]:
    found = []
    for name in names:
        x = kind(affine(w, name, x))
        found.append(x)
    return found


def mlp(*chains: list[str], kind: Callable[[Floats], Floats] = relu) -> Forward:
    """Dense chains that all read the inputs side by side."""
    return lambda w, given: [values for names in chains for values in chain(w, names, rows(given), kind)]


def images(strides: Mapping[str, int], dense: list[str], scale: float = 255.0, same: bool = False) -> Forward:
    """Convolutions, then dense layers that each read the one before."""

    def forward(w: Weights, given: Inputs) -> list[Floats]:
        x, found = np.asarray(given["observations"], dtype=np.float64) / scale, []
        for name, stride in strides.items():
            x = pad_same(x, w[f"{name}.weight"].shape[-1], stride) if same else x
            x = relu(conv(w, name, x, stride))
            found.append(x)
        return [*found, *chain(w, dense, x.reshape(len(x), -1))]

    return forward


def pooled(x: Floats) -> Floats:
    """The largest of 3 x 3 around every second position, the border padded with minus infinity."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(4, 5))


def same(w: Weights, name: str, x: Floats) -> Floats:
    return conv(w, name, pad_same(x, 3, 1), 1)


def impala(w: Weights, given: Inputs) -> list[Floats]:
    x, found = pixels(given), []
    for stack in ("network.0", "network.1", "network.2"):
        x = pooled(same(w, f"{stack}.conv", x))
        for block in (f"{stack}.res_block0", f"{stack}.res_block1"):
            outer = relu(x)
            inner = relu(same(w, f"{block}.conv0", outer))
            x = x + same(w, f"{block}.conv1", inner)
            found += [outer, inner]
    last = relu(x)
    return [*found, last, relu(affine(w, "network.5", last.reshape(len(x), -1)))]


def drq(*chains: list[str]) -> Forward:
    def forward(w: Weights, given: Inputs) -> list[Floats]:
        x, found = pixels(given), []
        for index in range(4):
            x = relu(conv(w, f"encoder.convs.{index}", x, 1 if index else 2))
            found.append(x)
        code = np.tanh(layer_norm(w, "encoder.head.1", affine(w, "encoder.head.0", x.reshape(len(x), -1))))
        x = np.concatenate([code, *([given["actions"]] if "actions" in given else [])], axis=1)
        return [*found, code, *(values for names in chains for values in chain(w, names, x))]

    return forward


def pqn(w: Weights, given: Inputs) -> list[Floats]:
    first = relu(layer_norm(w, "network.1", affine(w, "network.0", rows(given))))
    return [first, relu(layer_norm(w, "network.4", affine(w, "network.3", first)))]


def norm_behind(w: Weights, given: Inputs) -> list[Floats]:
    first = elu(affine(w, "net.0", rows(given)))
    return [first, elu(affine(w, "net.3", layer_norm(w, "net.2", first)))]


def batch_normed(w: Weights, given: Inputs) -> list[Floats]:
    x, found = pixels(given), []
    for index, stride in ((1, 4), (2, 2), (3, 1)):
        x = relu(batch_norm(w, f"bn{index}", conv(w, f"conv{index}", x, stride)))
        found.append(x)
    return [*found, relu(batch_norm(w, "bn4", affine(w, "fc4", x.reshape(len(x), -1))))]


def nature(prefix: str, first: int, dense: str) -> Forward:
    strides = {f"{prefix}.{first + 2 * index}": stride for index, stride in enumerate((4, 2, 1))}
    return images(strides, [dense])


def group_norm(w: Weights, name: str, x: Floats, groups: int) -> Floats:
    parts = x.reshape(len(x), groups, -1)
    centred = parts - parts.mean(axis=2, keepdims=True)
    scaled = (centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)).reshape(x.shape)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu_tanh(x: Floats) -> Floats:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def silu(x: Floats) -> Floats:
    return x / (1 + np.exp(-x))


def module_actor(w: Weights, given: Inputs) -> list[Floats]:
    x = group_norm(w, "1", affine(w, "0", rows(given)), 3)
    first = np.where(x > 0, x, 0.2 * x)
    return [first, gelu_tanh(layer_norm(w, "3.2", affine(w, "3.0", first), eps=1e-3))]


def module_critic(w: Weights, given: Inputs) -> list[Floats]:
    return [relu(affine(w, "0", rows(given)))]


def module_sequence(w: Weights, given: Inputs) -> list[Floats]:
    padded = np.pad(pixels(given), ((0, 0), (0, 0), (2, 2), (2, 2)))
    first = silu(batch_norm(w, "1", conv(w, "0", padded, 2)))
    halves = np.split(np.pad(pooled(first), ((0, 0), (0, 0), (1, 1), (1, 1))), 2, axis=1)
    weights, biases = np.split(w["4.weight"], 2), np.split(w["4.bias"], 2)
    x = np.concatenate([convolve(*each, 1) for each in zip(halves, weights, biases, strict=True)], axis=1)
    second = np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(second, (3, 3), axis=(2, 3))[:, :, ::3, ::3].mean(axis=(4, 5))
    return [first, second, np.log1p(np.exp(affine(w, "8", windows.reshape(len(x), -1))))]


def flax_nature(padding: str) -> Forward:
    """As Dopamine writes it: features are flattened by position, then channel."""

    def forward(w: Weights, given: Inputs) -> list[Floats]:
        x, found = pixels(given), []
        for name, stride in (("Conv_0", 4), ("Conv_1", 2), ("Conv_2", 1)):
            x = pad_same(x, w[f"{name}.weight"].shape[-1], stride) if padding == "SAME" else x
            x = relu(conv(w, name, x, stride))
            found.append(x)
        return [*found, relu(affine(w, "Dense_0", x.transpose(0, 2, 3, 1).reshape(len(x), -1)))]

    return forward


def flax_normed(w: Weights, given: Inputs) -> list[Floats]:
    first = relu(layer_norm(w, "LayerNorm_0", affine(w, "Dense_0", rows(given)), eps=1e-6))
    return [first, relu(layer_norm(w, "LayerNorm_1", affine(w, "Dense_1", first), eps=1e-6))]


def program_frames(w: Weights, given: Inputs) -> list[Floats]:
    first = relu(conv(w, "eye", pixels(given), 4))
    second = silu(conv(w, "next", np.pad(first, ((0, 0), (0, 0), (1, 1), (1, 1))), 2))
    return [first, second, elu(affine(w, "body", second.mean(axis=(2, 3))))]


def program_critic(w: Weights, given: Inputs) -> list[Floats]:
    first = np.tanh(affine(w, "first", rows(given)))
    return [first, relu(affine(w, "second", first))]


FORWARD: dict[str, Forward] = {
    "sb3_dqn.zip|q_net": mlp(["q_net.0", "q_net.2"]),
    "sb3_qrdqn.zip|quantile_net": mlp(["quantile_net.0", "quantile_net.2"]),
    "sb3_sac.zip|actor": mlp(["latent_pi.0", "latent_pi.2"], kind=elu),
    "sb3_sac.zip|critic": mlp(["qf0.0", "qf0.2"], ["qf1.0", "qf1.2"], kind=elu),
    "sb3_td3.zip|actor": mlp(["mu.0", "mu.2"]),
    "sb3_td3.zip|critic": mlp(["qf0.0", "qf0.2"], ["qf1.0", "qf1.2"]),
    "sb3_a2c.zip|policy": mlp(
        ["mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"], ["mlp_extractor.value_net.0"], kind=np.tanh
    ),
    "sb3_ppo_cnn.zip|policy": nature("features_extractor.cnn", 0, "features_extractor.linear.0"),
    "c51.cleanrl_model|": mlp(["network.0", "network.2"]),
    "td3.cleanrl_model|0": mlp(["fc1", "fc2"]),
    "td3.cleanrl_model|1": mlp(["fc1", "fc2"]),
    "dqn_atari.cleanrl_model|": nature("network", 0, "network.7"),
    "ppo_atari.cleanrl_model|": nature("network", 0, "network.7"),
    "dueling.pt|": images({"conv1": 4, "conv2": 2, "conv3": 1}, ["fc1"], same=True),
    "minatar.pt|": images({"conv": 1}, ["fc_hidden"], scale=1.0),
    "efficient.safetensors|": images({"convs.0": 5, "convs.2": 5}, ["fc1"]),
    "impala_procgen.cleanrl_model|": impala,
    "impala_atari.cleanrl_model|": impala,
    "drq.pt|actor": drq(["trunk.0", "trunk.2"]),
    "drq.pt|critic": drq(["Q1.0", "Q1.2"], ["Q2.0", "Q2.2"]),
    "pqn.cleanrl_model|": pqn,
    "layer_norm_behind.pt|": norm_behind,
    "batch_norm.pt|": batch_normed,
    "flax_nature_same.msgpack|": flax_nature("SAME"),
    "flax_nature_valid.msgpack|": flax_nature("VALID"),
    "flax_c51.cleanrl_model|": mlp(["Dense_0", "Dense_1"]),
    "flax_td3.cleanrl_model|0": mlp(["Dense_0", "Dense_1"]),
    "flax_state.msgpack|": flax_normed,
    **{f"{name}|": program_frames for name in ("script_scripted.pt", "script_traced.pt", "export_frames.pt2")},
    **{f"{name}|": program_critic for name in ("script_critic.pt", "export_critic.pt2")},
    "export_fixed.pt2|": mlp(["network.0", "network.2"]),
    "module_sequence.pt|": module_sequence,
    "module_atari.pt|": nature("network", 0, "network.7"),
    "module_agent.pt|actor/body": module_actor,
    "module_agent.pt|critic": module_critic,
    "sac.pt|actor": mlp(["linear1", "linear2"]),
    "sac.pt|critic": mlp(["linear1", "linear2"], ["linear4", "linear5"]),
}
"""By file and network, as the expected answers are listed."""

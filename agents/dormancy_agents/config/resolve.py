"""From defaults, presets, a file, flags and settings to one configuration that knows where each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, final

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy_agents.config.algorithm import Algorithm
from dormancy_agents.config.common import CommonConfig
from dormancy_agents.config.fields import known_field
from dormancy_agents.config.schedules import gradient_steps_due

__all__ = ["PRESETS", "Layer", "Resolved", "resolve"]

PRESETS = ("paper", "quick")
NEVER_ZERO = ("leaky_relu", "elu", "gelu", "silu", "tanh")
"""Activations behind which a threshold of 0 finds nothing."""
MATURITY = 100
"""How many steps of continual backprop a neuron is spared, where its options do not say."""
TYPED = ("flag", "--set")
"""The origins of values that somebody typed just now."""


@final
@dataclass(frozen=True)
class Layer:
    """Values that were given together, and where: ``run.toml``, ``--set``, ..."""

    origin: str
    values: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Resolved:
    """A configuration and, by field, where its value came from; `warnings` tell what is hardly meant."""

    config: CommonConfig
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def resolve(algorithm: Algorithm, env_id: str, layers: Sequence[Layer] = (), preset: str = "paper") -> Resolved:
    """Put a configuration together: the preset for the environment, then `layers`, of which later ones win.

    What is given nowhere may follow from what is: the target period and the recycler's threshold from the replay ratio.
    Raises `UsageError` for an unknown preset or field, and for values that cannot be.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}{nearest(preset, list(PRESETS))}; known: {', '.join(PRESETS)}")
    presets = [Layer(f"for {env_id}", algorithm.task(env_id))]
    if preset == "quick":
        presets.append(Layer("preset quick", algorithm.quick(env_id)))
    published = _built(algorithm, env_id, presets)
    config = _built(algorithm, env_id, [*presets, *layers])
    given = {name for layer in layers for name in layer.values}
    follows = {name: value for name, value in config.following(published).items() if name not in given}
    changed = [name for name, value in follows.items() if value != getattr(published, name)]
    origins = {field.name: "default" for field in fields(algorithm.config)} | {"env_id": "given"}
    origins |= {name: layer.origin for layer in (*presets, *layers) for name in layer.values}
    final = replace(config, **follows)
    warnings = (*_left_behind(algorithm, env_id, presets, layers, published), *_too_short(final), *_never_zero(final))
    warnings += tuple(_idle(final, layers))
    return Resolved(final, origins | dict.fromkeys(changed, "follows from others"), warnings)


def _left_behind(
    algorithm: Algorithm, env_id: str, presets: list[Layer], layers: Sequence[Layer], published: CommonConfig
) -> Iterator[str]:
    """Tell of values that follow from others, were given in a file, and did not follow what a later layer changed."""
    config = _built(algorithm, env_id, [*presets, *layers])
    now = config.following(published)
    for index, layer in enumerate(layers[:-1]):
        then = _built(algorithm, env_id, [*presets, *layers[: index + 1]]).following(published)
        later = {name for other in layers[index + 1 :] for name in other.values}
        for name in sorted(layer.values.keys() & now.keys() - later):
            if then[name] != now[name] != layer.values[name] and not _unread(name, config):
                yield (
                    f"{name} is {layer.values[name]!r} by {layer.origin}; with what was given besides, {now[name]!r} "
                    f"would follow: give it as well, or take it out of {layer.origin}"
                )


def _too_short(config: CommonConfig) -> Iterator[str]:
    """Tell of interventions that were asked for and that the run ends before."""
    steps = gradient_steps_due(config.agent_steps, warmup=config.warmup_agent_steps, replay_ratio=config.replay_ratio)
    asked = {
        "recycled": (config.recycler != "none", config.recycler_period_gradient_steps, "--recycler-period"),
        "pruned": (config.prune_dormant, config.prune_period_gradient_steps, "--prune-period"),
    }
    for done, (wanted, period, flag) in asked.items():
        if wanted and period > steps:
            yield f"nothing will be {done}: the run has {steps} gradient steps, and the period is {period}; give {flag}"
    maturity = config.recycler_options.get("maturity", MATURITY)
    ripe = config.recycler_period_gradient_steps * (maturity + 1) if isinstance(maturity, int) else 0
    if config.recycler == "continual-backprop" and config.recycler_period_gradient_steps <= steps < ripe:
        yield (
            f"nothing will be recycled: the run has {steps} gradient steps, and the first neurons are mature after "
            f"{ripe}; give --recycler-period or recycler_options.maturity"
        )


def _never_zero(config: CommonConfig) -> Iterator[str]:
    """Tell of thresholds of 0 behind an activation that is hardly ever 0."""
    if config.activation not in NEVER_ZERO:
        return
    never = f"{config.activation} is hardly ever exactly 0, so tau = 0 finds nothing"
    chosen = {"selection", "adaptive_share", "score"} & config.recycler_options.keys()
    if config.recycler == "redo" and config.recycler_tau == 0 and not chosen:
        yield f"nothing will be recycled: {never}; give --redo-tau"
    if config.prune_dormant and config.prune_tau == 0:
        yield f"nothing will be pruned: {never}; give --prune-tau"


def _idle(config: CommonConfig, layers: Sequence[Layer]) -> Iterator[str]:
    """Tell of values that were typed and that nothing reads; a file may hold every field."""
    typed = [name for layer in layers if layer.origin in TYPED for name in layer.values]
    for name in dict.fromkeys(typed):
        if _unread(name, config):
            what = "--prune-dormant" if name.startswith("prune_") else "a recycler: give --redo, or --recycler NAME"
            yield f"{name} has no effect without {what}"


def _unread(name: str, config: CommonConfig) -> bool:
    """Whether nothing reads this value, for what it is of is off."""
    if name.startswith("recycler_"):
        return config.recycler == "none"
    return name.startswith("prune_") and name != "prune_dormant" and not config.prune_dormant


def _built(algorithm: Algorithm, env_id: str, layers: Sequence[Layer]) -> CommonConfig:
    accepted = {
        name: _accepted(algorithm.config, name, value, layer.origin)
        for layer in layers
        for name, value in layer.values.items()
    }
    return algorithm.config(**{**accepted, "env_id": env_id})


def _accepted(config: type[CommonConfig], name: str, value: Any, origin: str) -> Any:
    kind = known_field(config, name)
    try:
        return kind.accept(value)
    except ValueError:
        raise UsageError(f"{name} takes {kind.words}, not {value!r} ({origin})") from None

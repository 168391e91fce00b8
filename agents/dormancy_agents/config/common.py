"""What every training run is asked, whatever the algorithm: every number with its unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal, Self

from dormancy.errors import UsageError
from dormancy_agents.config.fields import Count, Natural, NonNegative, Options, Positive, Share, check_values

__all__ = ["CommonConfig"]

RECYCLER_PERIODS = {"reset": 100_000, "continual-backprop": 1}
"""Where the period of a recycler is not the 1000 gradient steps of the others."""


@dataclass(frozen=True)
class CommonConfig:
    """The fields that all algorithms share. An algorithm adds its own in a subclass, and its own defaults.

    An agent step is one action (four frames on Atari); a gradient step is one step of the optimizer; the replay ratio
    is gradient steps per agent step. Raises `UsageError` for a value that cannot be.
    """

    algorithm: ClassVar[str] = ""

    env_id: str
    _: KW_ONLY
    agent_steps: Count = 2_500_000
    seed: Natural = 0
    device: str = "cpu"
    threads: Natural = 0
    """CPU threads of PyTorch; 0 leaves its own choice. Results are equal bit for bit only at equal threads."""

    tensorboard: bool = False
    """Whether rows and scans are also written as TensorBoard's event files. It changes nothing else."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """float32; tf32 lets a GPU round the factors of products; bf16 computes forward passes by autocast.

    A processor without instructions for it is several times slower with bf16 than with float32.
    """
    cuda_graph: bool = True
    """On a GPU, record the gradient step once as a CUDA graph and replay it; elsewhere without effect."""

    # Network
    width: Positive = 1.0
    """Factor on the number of neurons of every hidden layer."""
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "crelu"] = "relu"

    # Learning
    batch_size: Count = 32
    learning_rate: Positive = 6.25e-5
    adam_epsilon: Positive = 1.5e-4
    weight_decay: NonNegative = 0.0
    """L2: this times the weights is added to the gradient before Adam. The paper's best is 1e-5 (of 1e-6 .. 1e-3)."""
    gamma: Share = 0.99
    n_step: Count = 1
    replay_ratio: Positive = 0.25
    replay_capacity: Count = 1_000_000
    """Observations kept, of which an episode of T agent steps has T + 1."""
    warmup_agent_steps: Count = 20_000
    """Random actions before the first gradient step."""

    # Interventions: what is done to the network after a gradient step
    recycler: Literal["none", "redo", "regrama", "continual-backprop", "reset", "shrink-and-perturb"] = "none"
    recycler_tau: NonNegative = 0.025
    """For recyclers that have a threshold. Without one given: .025 up to the usual replay ratio, .1 above it."""
    recycler_period_gradient_steps: Count = 1_000
    """Without one given, 1000; 100 000 for reset, 1 for continual-backprop."""
    recycler_sample_size: Count = 64
    """Observations of the replay by which a recycler judges."""
    recycler_options: Options = field(default_factory=dict)
    """Further options of the recycler, such as selection, end, incoming, semantics: see docs/recycling.md."""
    prune_dormant: bool = False
    """Keep off for good every neuron once found dormant (Figs 6 and 19)."""
    prune_tau: NonNegative = 0.0
    prune_period_gradient_steps: Count = 20_000
    prune_sample_size: Count = 1_024

    # What is logged and kept
    metrics_period_agent_steps: Count = 1_000
    dormancy_period_gradient_steps: Count = 20_000
    checkpoint_period_agent_steps: Count = 250_000
    resume_period_agent_steps: Natural = 50_000
    """How often all that a killed run needs to go on bit for bit is saved; 0 saves none of it, not at the end."""
    evaluation_period_agent_steps: Natural = 0
    """How often the agent plays episodes without exploration, in an environment of their own; 0: never."""
    evaluation_at_end: bool = False
    """Play them after the last agent step, too."""
    evaluation_episodes: Count = 30
    sample_size: Count = 1_024
    """Observations per statistics sample; for the rank, at least as many as the last hidden layer has neurons."""
    taus: tuple[NonNegative, ...] = (0.0, 0.025, 0.1)
    """Thresholds at which dormancy is logged; independent of the one at which neurons are recycled."""
    save_next_observations: bool = False
    save_optimizer: bool = False

    def __post_init__(self) -> None:
        check_values(self)
        if self.warmup_agent_steps < self.n_step:
            raise UsageError(
                f"warmup_agent_steps must be {self.n_step} (n_step) or more, not {self.warmup_agent_steps}"
            )
        self.check_together()

    def check_together(self) -> None:
        """Raise `UsageError` for values that cannot be together; an algorithm checks its own here."""
        if not self.taus:
            raise UsageError("taus must be one threshold at least")
        smallest = 2 * (self.n_step + 1)
        if self.replay_capacity < smallest:
            raise UsageError(f"replay_capacity must be at least {smallest} here, not {self.replay_capacity}")

    def for_evaluation(self) -> Self:
        """Return the configuration of the environment that the agent is evaluated in."""
        return self

    def following(self, published: Self) -> Mapping[str, Any]:
        """Return the values that follow from others where nobody gave them; `published` is what the presets say."""
        usual = self.replay_ratio <= published.replay_ratio  # .25 for DQN, 1 for DrQ
        return {
            "recycler_tau": 0.01 if self.recycler == "regrama" else 0.025 if usual else 0.1,
            "recycler_period_gradient_steps": RECYCLER_PERIODS.get(self.recycler, 1_000),
        }

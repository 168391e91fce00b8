"""A DQN in one file, as CleanRL writes them, with one line that watches its neurons.

python examples/cleanrl_style.py --steps 20000 --jsonl cartpole.jsonl
dormancy report cartpole.jsonl -o cartpole.html
"""

from __future__ import annotations

import argparse
import random

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import dormancy


class QNetwork(nn.Module):
    """Two hidden layers, as in CleanRL's DQN for classic control."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(inputs, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, actions)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the value of each action."""
        values: torch.Tensor = self.network(x)
        return values


def main(arguments: list[str] | None = None) -> dormancy.DormancySeries:
    """Train, and return what the monitor saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="agent steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jsonl", help="write one scan a line to this new file")
    args = parser.parse_args(arguments)

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    env = gymnasium.make("CartPole-v1")
    q_network, target = QNetwork(4, 2), QNetwork(4, 2)
    target.load_state_dict(q_network.state_dict())
    optimizer = torch.optim.Adam(q_network.parameters(), lr=2.5e-4)
    replay: list[tuple[np.ndarray, int, float, np.ndarray, bool]] = []

    # The only two lines about dormancy: this one, and monitor.step below.
    monitor = dormancy.Monitor(q_network, every=250, tau=(0.1, 0.0), name="cartpole", jsonl=args.jsonl)
    own = random.Random(0)  # noqa: S311  (draws for looking are not taken from the training's random numbers)

    observation, _ = env.reset(seed=args.seed)
    for step in range(1, args.steps + 1):
        # Act
        epsilon = max(0.05, 1 - step / (args.steps / 2))
        if random.random() < epsilon:  # noqa: S311
            action = random.randrange(2)  # noqa: S311
        else:
            with torch.no_grad():
                action = int(q_network(torch.from_numpy(observation)[None]).argmax())
        following, reward, terminated, truncated, _ = env.step(action)

        # Store
        replay.append((observation, action, float(reward), following, terminated))
        observation = env.reset()[0] if terminated or truncated else following

        # Learn
        if step >= 500 and step % 4 == 0:
            batch = random.sample(replay, 128)
            states, actions, rewards, next_states, ends = (
                torch.tensor(np.array(part)) for part in zip(*batch, strict=True)
            )
            with torch.no_grad():
                goal = rewards.float() + 0.99 * target(next_states).amax(1) * (~ends)
            loss = F.mse_loss(q_network(states).gather(1, actions[:, None])[:, 0], goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            # Watch: every 250 gradient steps, on 256 observations of the replay
            monitor.step(lambda: np.stack([row[0] for row in own.sample(replay, 256)]), agent_step=step)
        if step % 500 == 0:
            target.load_state_dict(q_network.state_dict())
    env.close()

    for found in monitor.series.scans:
        print(f"step {found.agent_step}: {found.fraction():.1%} of {found.neurons} neurons are dormant at tau 0.1")
    return monitor.series


if __name__ == "__main__":
    main()

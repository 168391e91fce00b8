"""DrQ(epsilon) (Kostrikov et al. 2020) as the paper trains it: DQN with few steps and many looks at each of them.

Read `train` from top to bottom. What it has in common with DQN is in `dqn`; what makes it DrQ is here and in the values
of its configuration: dueling heads, double Q-learning, returns of ten steps, a target that follows at every step, and
pixels that are moved and rescaled at random each time they are learned from.
"""

from __future__ import annotations

from pathlib import Path

from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.drq.augmentation import augmented
from dormancy_agents.algorithms.drq.config import DrQConfig
from dormancy_agents.replay.buffer import Batch
from dormancy_agents.training.offline import learn_offline
from dormancy_agents.training.session import Outcome, Session

__all__ = ["DrQ", "train"]


def train(config: DrQConfig, out: Path, *, progress: bool = True, resume: bool = False) -> Outcome:
    """Train a DrQ(epsilon) and leave a run folder at `out`, or with `resume` go on with the run that is there.

    Raises `UsageError` for what cannot be run here, `OutputError` when `out` exists or cannot be written, and
    `TrainingDiverged` when the loss is no longer finite.
    """
    agent = DrQ(config)
    if config.offline:
        return learn_offline(agent, out, progress=progress, resume=resume)
    env, replay = agent.env, agent.replay
    with Session(agent, out, progress=progress, resume=resume) as session:
        journal, observation = session.journal, session.begin()
        while session.goes_on():
            # Act: at random with probability epsilon, else greedily, on the pixels as they are.
            action = agent.act(observation)
            agent.agent_step += 1

            # Learn: each gradient step from augmented pixels; prune neurons when it is their time, look at the network,
            # then recycle.
            while agent.gradient_step < agent.gradient_steps_due():
                journal.learned(agent.learn())
                for row in agent.intervene(journal.look):
                    journal.intervened(row)

            # Let the target follow, after every agent step.
            if agent.agent_step % config.target_period_agent_steps == 0:
                agent.update_target()

            # Step and store, while a GPU still learns: a lost life ends what is learned from; the game goes on with the
            # next observation.
            step = env.step(action)
            replay.add(action, agent.learned_reward(step.reward), step.terminated, step.truncated, step.observation)
            journal.stepped(step)
            observation = step.observation
            if step.terminated or step.truncated:
                observation = env.reset()
                replay.begin(observation)

            # Log: rates and losses, dormancy, checkpoints with their samples, un-augmented.
            journal.write_due()
    return session.outcome


class DrQ(DQN):
    """A DQN that learns from augmented pixels."""

    config: DrQConfig

    def batch(self) -> Batch:
        """Draw the transitions of a gradient step, both observations of each augmented independently."""
        batch = super().batch()
        if not self.config.augmentation:
            return batch
        rng = self.streams.at("augmentation", self.gradient_step)
        now, then = augmented(batch.observations, rng), augmented(batch.next_observations, rng)
        return batch._replace(observations=now, next_observations=then)

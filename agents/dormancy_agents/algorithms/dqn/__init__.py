"""DQN: configuration, agent and losses."""

"""SAC: configuration, agent and losses."""

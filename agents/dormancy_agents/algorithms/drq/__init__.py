"""DrQ(epsilon): configuration, agent and augmentation."""

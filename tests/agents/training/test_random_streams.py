"""Random streams: apart from each other, and repeatable."""

from dormancy_agents.training.random_streams import PURPOSES, Streams


def test_streams_of_one_seed_differ_from_each_other() -> None:
    seeds = [Streams(3).integer(purpose) for purpose in PURPOSES]
    assert len(set(seeds)) == len(PURPOSES)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_streams_of_different_seeds_differ() -> None:
    assert Streams(1).exploration.random() != Streams(2).exploration.random()


def test_a_drawn_sample_does_not_move_the_others() -> None:
    disturbed, calm = Streams(5), Streams(5)
    disturbed.at("statistics", 10).random(1000)
    disturbed.at("recycling", 10).random(1000)
    assert disturbed.replay.random() == calm.replay.random()
    assert disturbed.exploration.random() == calm.exploration.random()


def test_steps_of_one_purpose_differ() -> None:
    streams = Streams(5)
    assert streams.at("statistics", 1).random() != streams.at("statistics", 2).random()

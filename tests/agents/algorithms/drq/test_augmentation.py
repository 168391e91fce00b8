"""DrQ's augmentation against padding and cropping in NumPy, and against the distributions it is drawn from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dormancy_agents.algorithms.drq.augmentation import PAD, augmented, rescaled, shifted


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    frames=st.integers(1, 4),
    pad=st.integers(0, 5),
    seed=st.integers(0, 999),
)
def test_a_shift_is_a_crop_of_the_edge_padded_image(height: int, width: int, frames: int, pad: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, frames, height, width)).astype(np.uint8)
    offsets = rng.integers(0, 2 * pad + 1, (5, 2))
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="edge")
    expected = [
        image[:, row : row + height, column : column + width]
        for image, (row, column) in zip(padded, offsets, strict=True)
    ]
    found = shifted(torch.from_numpy(images), torch.from_numpy(offsets), pad)
    assert found.dtype == torch.uint8
    assert np.array_equal(found, np.stack(expected))


def test_padding_agrees_with_pytorchs_own() -> None:
    images = torch.rand(3, 4, 84, 84, generator=generator())
    offsets = torch.tensor([[0, 8], [4, 4], [7, 2]])
    padded = torch.nn.ReplicationPad2d(PAD)(images)
    for index, (row, column) in enumerate(offsets.tolist()):
        assert torch.equal(shifted(images, offsets)[index], padded[index, :, row : row + 84, column : column + 84])
    assert torch.equal(shifted(images, offsets)[1], images[1])  # the middle offset is no shift


def test_intensity_is_one_factor_an_image_within_a_tenth() -> None:
    found = rescaled(torch.full((4, 2, 3, 3), 200, dtype=torch.uint8), torch.tensor([0.0, 1.0, 2.5, -7.0]))
    assert found.flatten(1).std(dim=1).max() == 0
    assert found[:, 0, 0, 0].tolist() == pytest.approx([200.0, 210.0, 220.0, 180.0])


def offsets_of(images: torch.Tensor) -> np.ndarray:
    """Read the offsets off pictures whose pixels name their own coordinates, from the middle of the picture."""
    middle = images[:, :, 10, 10].round().long()
    return (middle - 10 + PAD).numpy()


def test_offsets_are_uniform_and_independent() -> None:
    rows, columns = torch.meshgrid(torch.arange(21), torch.arange(21), indexing="ij")
    coordinates = torch.stack([rows, columns]).expand(40_000, 2, 21, 21)
    drawn = torch.randint(0, 2 * PAD + 1, (40_000, 2), generator=generator(1))
    found = offsets_of(shifted(coordinates, drawn))
    assert np.array_equal(found, drawn.numpy())
    cells = np.zeros((9, 9))
    np.add.at(cells, (found[:, 0], found[:, 1]), 1)
    expected = 40_000 / 81
    chi_square = ((cells - expected) ** 2 / expected).sum()
    assert chi_square < 80 + 4 * np.sqrt(2 * 80)  # four standard deviations of its distribution


def test_factors_have_the_moments_of_a_clipped_normal() -> None:
    flat = torch.full((60_000, 1, 1, 1), 100, dtype=torch.uint8)
    factors = augmented(flat, np.random.default_rng(2)).flatten().double().numpy() / 100
    assert factors.mean() == pytest.approx(1.0, abs=4 * 0.05 / np.sqrt(60_000))
    # A standard normal clipped to [-2, 2]: variance 1 - 2 * (2 phi(2) - 3 Q(2)) = .9205, by integration.
    noise = (factors - 1) / 0.05
    assert noise.var() == pytest.approx(0.9205, abs=0.02)
    assert (np.abs(noise).min(), np.abs(noise).max()) == (pytest.approx(0, abs=1e-3), pytest.approx(2, abs=1e-4))
    assert (np.abs(noise) > 1.9999).mean() == pytest.approx(0.0455, abs=0.004)  # what lies beyond two deviations


def test_images_of_a_batch_are_augmented_on_their_own_and_frames_of_a_stack_together() -> None:
    picture = torch.randint(0, 256, (1, 1, 84, 84), generator=generator(), dtype=torch.uint8)
    found = augmented(picture.expand(16, 4, 84, 84), np.random.default_rng(3))
    assert found.dtype == torch.float32
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert len({tuple(image.flatten()[:200].tolist()) for image in found}) == 16


def test_the_stream_decides_and_nothing_global_is_drawn() -> None:
    images = torch.randint(0, 256, (4, 4, 20, 20), generator=generator(), dtype=torch.uint8)
    before = torch.get_rng_state()
    assert torch.equal(augmented(images, np.random.default_rng(5)), augmented(images, np.random.default_rng(5)))
    assert not torch.equal(augmented(images, np.random.default_rng(5)), augmented(images, np.random.default_rng(6)))
    assert torch.equal(before, torch.get_rng_state())

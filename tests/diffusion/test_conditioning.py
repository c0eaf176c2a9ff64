"""What a network is told of augmentation, it does not learn to generate."""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.diffusion import Network, Trainer, latents, sample
from tune_diffreg.diffusion.augmentation import LABELS
from tune_diffreg.diffusion.conditioning import AugmentationEmbedding, noise_embeddings
from tune_diffreg.diffusion.model import build_model
from tune_diffreg.errors import InputError
from tune_diffreg.study import Study

CPU = torch.device("cpu")


def test_told_of_nothing_the_network_is_the_plain_one_to_the_bit() -> None:
    study = tiny_study()
    model = build_model(study.model, seed=1).eval()
    plain = copy.deepcopy(model)
    embedding = AugmentationEmbedding(model, study.model, batch_size=4, seed=0)
    images, times = torch.randn(4, 1, 8, 8), torch.tensor([1, 50, 300, 900])
    with torch.no_grad():
        assert torch.equal(model(images, times).sample, plain(images, times).sample)
        embedding.tell(torch.eye(4, LABELS))
        assert not torch.equal(model(images, times).sample, plain(images, times).sample)
    assert list(model.state_dict()) == list(plain.state_dict())


def test_the_averaged_model_was_never_told_anything() -> None:
    study = tiny_study("augmentation={horizontal_flip: 0.5, conditional: true}")
    network = Network(study, CPU)
    assert network.embedding is not None
    hooks = [m for m in network.averaged.modules() if m._forward_hooks]
    assert hooks == []


def test_a_model_that_does_not_say_where_noise_is_embedded_is_refused() -> None:
    with pytest.raises(InputError, match=r"give Linear a method noise_embeddings\(\)"):
        noise_embeddings(torch.nn.Linear(1, 1))


def flipped_share(study: Study) -> float:
    """The share of samples that a classifier of scans and their mirror images calls mirrored."""
    splits = load_splits(study.data, study.model)
    trainer = Trainer(study, splits.train, CPU)
    while trainer.images_seen < study.training.images:
        trainer.step()
    trainer.choose_average(splits.validation)
    noise = latents(0, 256, (1, 8, 8))
    network, scheduler = trainer.network, trainer.scheduler
    samples = sample(network.predict_averaged, scheduler, noise, 10)
    scans = splits.train
    both = torch.cat([scans, scans.flip(3)]).flatten(1).float()
    judge = LogisticRegression(max_iter=1000).fit(both, [0] * len(scans) + [1] * len(scans))
    held_out = torch.cat([splits.test, splits.test.flip(3)]).flatten(1).float()
    truth = [0] * len(splits.test) + [1] * len(splits.test)
    assert judge.score(held_out, truth) > 0.8
    return float(judge.predict(samples.flatten(1).float()).mean())


@pytest.mark.slow
def test_mirror_images_leak_into_samples_unless_the_network_is_told() -> None:
    settings = [
        "data.train=600", "data.validation=250", "data.test=300", "training.images=12800",
    ]  # fmt: skip
    flips = "augmentation={{horizontal_flip: 0.5, conditional: {}}}"
    plain = flipped_share(tiny_study(*settings))
    leaking = flipped_share(tiny_study(*settings, flips.format("false")))
    told = flipped_share(tiny_study(*settings, flips.format("true")))
    assert leaking > 0.4
    assert told < plain + 0.1
    assert told < leaking - 0.1

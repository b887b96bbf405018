import random
import threading

import numpy as np
import pytest
import torch
from pictures import encode, photo

from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.image_files import ImageFiles
from sdlora.datasets.store import survey
from sdlora.datasets.synthetic import synthetic
from sdlora.errors import DataError
from sdlora.streams import batches as module
from sdlora.streams.batches import PlainBatches, TrainBatches
from sdlora.streams.resample import pack_boxes, resample_batch
from sdlora.streams.split import make_stream
from sdlora.streams.stream import TaskSplit

AUGMENT = AugmentOptions(crop_scale=(0.3, 1.0))
STREAM = make_stream(synthetic(None, 12, num_classes=6, train_images=7, test_images=3), num_tasks=2, class_order=4)
SPLIT = STREAM.train(1)  # 21 images


def train(split=SPLIT, *, batch_size=4, seed=5, task=1, epoch=0, augment=AUGMENT, image_size=10):
    return TrainBatches(split, batch_size, seed, task, epoch, augment, image_size)


def same(first, second):
    pairs = list(zip(first, second, strict=True))
    return bool(pairs) and all(torch.equal(a, b) and torch.equal(k, m) for (a, k), (b, m) in pairs)


def test_shapes_and_range():
    batches = list(train())
    assert [len(labels) for _, labels in batches] == [4, 4, 4, 4, 4, 1]
    assert len(train()) == 6
    for images, labels in batches:
        assert images.shape == (len(labels), 3, 10, 10)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert 0 <= images.min() <= images.max() <= 1


def test_every_image_once_under_its_own_label():
    whole = AugmentOptions(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)
    seen = {}
    for images, labels in train(augment=whole, image_size=12):
        for image, label in zip(images, labels, strict=True):
            seen[bytes((image * 255).round().byte().permute(1, 2, 0).contiguous().numpy())] = int(label)
    assert seen == {
        bytes(SPLIT.images[index]): label for index, label in zip(SPLIT.ids, SPLIT.labels.tolist(), strict=True)
    }
    assert len(seen) == 21


def test_iterating_twice_gives_the_same_bits():
    batches = train()
    assert same(batches, batches)
    assert same(train(), train())


@pytest.mark.parametrize("other", [{"seed": 6}, {"task": 2}, {"epoch": 1}])
def test_seed_task_and_epoch_each_give_other_orders_and_crops(other):
    assert train(**other).order.tolist() != train().order.tolist()
    assert not same(train(**other), train())


def test_crop_of_an_image_is_its_own_whatever_the_batch_size():
    """Only the image's id, seed, task and epoch matter: not its place, nor its neighbours."""

    def by_id(batch_size, split=SPLIT):
        batches = train(split, batch_size=batch_size)
        images = torch.cat([images for images, _ in batches])
        return dict(zip(split.ids[batches.order].tolist(), images, strict=True))

    one, many, half = by_id(1), by_id(21), by_id(5, TaskSplit(SPLIT.images, SPLIT.ids[::2], SPLIT.labels[::2], AUGMENT))
    assert one.keys() == many.keys()
    assert all(torch.equal(one[index], many[index]) for index in one)
    assert all(torch.equal(half[index], one[index]) for index in half)


@pytest.mark.parametrize("step", range(7))
def test_going_on_from_any_step(step):
    batches = train()
    rest = batches.from_step(step)
    assert len(rest) == 6 - step
    images = list(batches)[step:]
    assert list(map(len, [labels for _, labels in rest])) == [len(labels) for _, labels in images]
    assert step == 6 or same(rest, images)
    assert step == 6 or same(batches.from_step(2).from_step(step), images)


def test_global_generators_change_nothing_and_are_not_moved():
    expected = list(train()), list(PlainBatches(SPLIT, 4, 10))

    def poisoned(batches):
        for number, batch in enumerate(batches):
            random.seed(number)
            np.random.seed(number)
            torch.manual_seed(number)
            yield batch

    with torch.random.fork_rng():
        assert same(poisoned(train()), expected[0])
        assert same(poisoned(PlainBatches(SPLIT, 4, 10)), expected[1])
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        list(train())
        assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_interleaved_iterations_do_not_disturb_each_other():
    first, second = iter(train()), iter(train())
    pairs = [(next(first), next(second)) for _ in range(6)]
    assert same([a for a, _ in pairs], [b for _, b in pairs])


def test_order_is_a_permutation_without_a_pattern():
    orders = np.array([train(epoch=epoch).order for epoch in range(400)])
    assert (np.sort(orders, axis=1) == np.arange(21)).all()
    assert abs(orders[:, 0].mean() - 10) < 1.3
    assert len({tuple(order) for order in orders}) == 400


def test_plain_batches_keep_order_and_use_the_splits_own_crop():
    batches = list(PlainBatches(SPLIT, 8, 12))
    assert [len(labels) for _, labels in batches] == [8, 8, 5]
    assert len(PlainBatches(SPLIT, 8, 12)) == 3
    assert torch.equal(torch.cat([labels for _, labels in batches]), torch.from_numpy(SPLIT.labels))
    expected = torch.from_numpy(SPLIT.images[SPLIT.ids]).permute(0, 3, 1, 2) / 255
    assert torch.equal(torch.cat([images for images, _ in batches]), expected)


def test_plain_batches_may_be_told_another_crop():
    narrow = PlainBatches(SPLIT, 21, 6, augment=AugmentOptions(test_crop=0.5))
    ((images, _),) = narrow
    expected = torch.from_numpy(SPLIT.images[SPLIT.ids])[:, 3:9, 3:9].permute(0, 3, 1, 2) / 255
    assert torch.equal(images, expected)


def test_an_empty_split_has_no_batches():
    empty = TaskSplit(SPLIT.images, SPLIT.ids[:0], SPLIT.labels[:0], AUGMENT)
    assert list(PlainBatches(empty, 4, 10)) == list(train(empty)) == []
    assert len(PlainBatches(empty, 4, 10)) == len(train(empty)) == 0


@pytest.fixture
def folder(tmp_path):
    for index in range(12):
        (tmp_path / f"{index}.jpg").write_bytes(encode(photo(40 + 5 * index, 70 - 2 * index, seed=index), "JPEG"))
    return ImageFiles(tmp_path, tuple(f"{index}.jpg" for index in range(12)), 32)


def test_cached_decoded_and_listed_images_give_the_same_bits(folder, tmp_path):
    cached = survey(folder, tmp_path / "cache", 2**30).images
    assert cached is not folder
    sources = [folder, cached, [folder[index] for index in range(12)]]
    labels = np.arange(12)
    trained = [list(train(TaskSplit(images, labels, labels, AUGMENT), image_size=28)) for images in sources]
    plain = [list(PlainBatches(TaskSplit(images, labels, labels, AUGMENT), 5, 28)) for images in sources]
    for way in (trained, plain):
        assert same(way[0], way[1])
        assert same(way[0], way[2])


def test_an_unreadable_image_is_named_while_training(folder):
    (folder.root / "7.jpg").write_bytes(b"")
    labels = np.arange(12)
    with pytest.raises(DataError, match=r"7\.jpg cannot be read"):
        list(train(TaskSplit(folder, labels, labels, AUGMENT), image_size=28))


def test_leaving_early_leaves_no_thread():
    before = threading.active_count()
    for _ in train():
        break
    iterator = iter(train())
    next(iterator)
    iterator.close()
    assert threading.active_count() == before


def test_the_way_of_accelerators_gives_the_same_pictures(monkeypatch):
    """The meta device stands for an accelerator: what would be sent there is kept and made into pictures here."""
    sent = []

    def keep(packed, views, picture):
        sent.append((packed, views))
        return packed

    packs = []

    def pack(images, views, pinned):
        packs.append(pack_boxes(images, views))
        return packs[-1]

    monkeypatch.setattr(module, "pack_boxes", pack)
    monkeypatch.setattr(module, "resample_batch", keep)
    batches = TrainBatches(SPLIT, 4, 5, 1, 0, AUGMENT, 10, "meta")
    labels = [labels for _, labels in batches]
    assert all(part.device.type == "meta" for part in [*labels, *(packed for packed, _ in sent)])
    for pack, (_, views), (expected, _) in zip(packs, sent, train(), strict=True):
        assert ((resample_batch(pack, views, 10) - expected).abs() * 255).max() < 1.01

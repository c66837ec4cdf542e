"""A stratified, seeded split that keeps all images of a group in one part."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from sparkdl.errors import RequestError

Group = list[int]  # indices of images


def split(labels: Sequence[str], groups: Sequence[int], test_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices of the training set and of the test set, with every class in the same proportion.

    If each image is its own group, this is scikit-learn's `train_test_split`. Otherwise the groups of a class are
    assigned to the test set in random order while they fit into the class's share. Then the rest of the share is
    smaller than the smallest remaining group. That group is added if it brings the class nearer to its share.

    Parameters
    ----------
    labels, groups
        For each image its class, and a number that the images of its group share. A group with several classes counts
        towards its most frequent class.
    test_fraction, seed
        Between 0 and 1; 0 to 4294967295.

    Raises
    ------
    RequestError
        If a class has fewer than two groups, or too few for both parts to have one.
    """
    counts = Counter(labels)
    _check_classes(labels, groups, counts)
    tested = math.ceil(len(labels) * test_fraction)
    if min(tested, len(labels) - tested) < len(counts):
        raise RequestError(
            f"a test fraction of {test_fraction} of {len(labels)} images cannot hold "
            f"all {len(counts)} classes in both parts"
        )
    if len(set(groups)) == len(groups):
        from sklearn.model_selection import train_test_split  # takes a second to import

        train, test = train_test_split(range(len(labels)), test_size=tested, stratify=labels, random_state=seed)
    else:
        train, test = _split_groups(labels, groups, tested, seed)
    both = {labels[index] for index in train} & {labels[index] for index in test}
    for label, count in counts.items():
        if label not in both:
            raise RequestError(
                f"class {label!r} has {count} of {len(labels)} images; at a test fraction of "
                f"{test_fraction} that is too few to have one in both parts"
            )
    return train, test


def _check_classes(labels: Sequence[str], groups: Sequence[int], counts: Mapping[str, int]) -> None:
    pictures = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    for label, count in counts.items():
        if pictures[label] < 2:
            has = "one image" if count == 1 else f"one picture, {count} times"
            raise RequestError(
                f"class {label!r} has {has}; at least two are needed, one to train on and one to test on"
            )


def _split_groups(labels: Sequence[str], groups: Sequence[int], tested: int, seed: int) -> tuple[Group, Group]:
    members: dict[int, Group] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    classes: dict[str, list[Group]] = defaultdict(list)
    for group_members in members.values():
        label, _ = Counter(labels[index] for index in group_members).most_common(1)[0]
        classes[label].append(group_members)

    chance = np.random.default_rng(seed)
    shares = _shares({label: sum(map(len, of)) for label, of in classes.items()}, tested)
    train: Group = []
    test: Group = []
    for label, of in classes.items():
        taken, left = _take([of[place] for place in chance.permutation(len(of))], shares[label])
        test += (index for group_members in taken for index in group_members)
        train += (index for group_members in left for index in group_members)
    return [train[place] for place in chance.permutation(len(train))], [
        test[place] for place in chance.permutation(len(test))
    ]


def _shares(counts: Mapping[str, int], tested: int) -> dict[str, int]:
    """Distribute `tested` images in proportion to `counts`, by largest remainder."""
    total = sum(counts.values())
    shares = {label: tested * count // total for label, count in counts.items()}
    by_remainder = sorted(counts, key=lambda label: -(tested * counts[label] % total))
    for label in by_remainder[: tested - sum(shares.values())]:
        shares[label] += 1
    return shares


def _take(groups: Sequence[Group], share: int) -> tuple[list[Group], list[Group]]:
    """Return as many of `groups`, in order, as come nearest to `share` images, and the remaining groups."""
    taken: list[Group] = []
    left: list[Group] = []
    room = share
    for group in groups:
        fits = len(group) <= room
        (taken if fits else left).append(group)
        room -= len(group) * fits
    if room and len(left) > 1:
        smallest = min(range(len(left)), key=lambda place: len(left[place]))
        if not taken or len(left[smallest]) - room < room:
            taken.append(left.pop(smallest))
    return taken, left

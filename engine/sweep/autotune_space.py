"""Points of a search space: which settings differ from those that a search begins with.

A space is {field: candidate values}. A point is {field: value} of the fields that differ; the starting point is {}.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from engine.arrays.backend import random_generator
from engine.training.run_settings import NetworkClasses, RunSettings, build_settings

Point: TypeAlias = dict[str, Any]
AUTOTUNE_STREAM = 105
LARGEST_CHANGE = 3  # fields that a drawn point changes at once
TRIES = 200  # draws after which a space counts as used up
# {field: the other with which it grows in proportion}
SCALED_WITH = {
    "step_budget": "epochs",
    "many_classes_epochs": "epochs",
    "many_classes_learning_rate": "learning_rate",
}


def rows_for(
    space: Mapping[str, Sequence[Any]], settings: RunSettings, given: Collection[str]
) -> dict[str, tuple[Any, ...]]:
    """{field: values other than that of the settings} of a space; fields that are unknown or `given` are left out."""
    known = {name: value for part in settings for name, value in part.to_dict().items()}
    rows = {
        name: tuple(value for value in values if value != known[name])
        for name, values in space.items()
        if name in known and name not in given
    }
    return {name: values for name, values in rows.items() if values}


def settings_at(
    settings: RunSettings, point: Point, network_classes: NetworkClasses, given: Collection[str] = ()
) -> RunSettings:
    """The settings of a point. given: fields that stay as they are. UserError where they contradict each other."""
    flat = {name: value for part in settings for name, value in part.to_dict().items()}
    scaled = {
        name: in_proportion(flat[name], point[other] / flat[other])
        for name, other in SCALED_WITH.items()
        if other in point and name not in given and flat[name] and flat[other]
    }
    return build_settings(network_classes, flat, scaled, point)


def in_proportion(value: Any, factor: float) -> Any:
    """The value times the factor; an integer stays one, of 1 or more."""
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


class Space:
    """The points around a starting point, each handed out once.

    rows: of rows_for(). fits: whether the settings of a point can be trained. first: points to be tried first, of which
    the changes that rows lack are left out; a field of SCALED_WITH stays where the field that it follows stays.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[Any]],
        seed: int,
        fits: Callable[[Point], bool],
        first: Sequence[Point] = (),
    ) -> None:
        self.rows, self.fits = {name: tuple(values) for name, values in rows.items()}, fits
        self.first = [
            {
                name: point[name]
                for name in point
                if self.offers(point, name) or self.offers(point, SCALED_WITH.get(name))
            }
            for point in first
        ]
        self.generator = random_generator(seed, AUTOTUNE_STREAM)
        self.seen: list[Point] = [{}]
        self.single: Iterator[Point] = self.single_changes()

    def offers(self, point: Point, name: str | None) -> bool:
        """Whether a point changes the field of that name to a value of its row."""
        return name in point and point[name] in self.rows.get(name, ())

    def first_points(self) -> Iterator[Point]:
        """The points to be tried first."""
        yield from self.new(iter(self.first))

    def single_changes(self) -> Iterator[Point]:
        """The points that change one field: the first value of each row, then the second ones, …"""
        for place in range(max(map(len, self.rows.values()), default=0)):
            yield from ({name: values[place]} for name, values in self.rows.items() if place < len(values))

    def points(self, count: int, centre: Point) -> list[Point]:
        """Up to `count` new points: at the start single changes, else a few changes of `centre`, drawn at random.

        Fewer where hardly any are left.
        """
        found: list[Point] = []
        if not centre:
            found, self.single = [point for _, point in zip(range(count), self.new(self.single))], iter(())
        drawn = (self.changed(centre) for _ in range(TRIES))
        return found + [point for _, point in zip(range(count - len(found)), self.new(drawn))]

    def new(self, points: Iterator[Point]) -> Iterator[Point]:
        """The points that can be trained and have not been handed out."""
        for point in points:
            if point not in self.seen:
                self.seen.append(point)
                if self.fits(point):
                    yield point

    def changed(self, centre: Point) -> Point:
        """A point that differs from `centre` in 1 to LARGEST_CHANGE fields."""
        names = list(self.rows)
        if not names:
            return {}
        count = int(self.generator.integers(1, min(LARGEST_CHANGE, len(names)) + 1))
        point = dict(centre)
        for place in self.generator.permutation(len(names))[:count]:
            name = names[place]
            others = [value for value in (None, *self.rows[name]) if value != centre.get(name)]  # None: as at the start
            value = others[int(self.generator.integers(len(others)))]
            for changed in (name, *(other for other, with_ in SCALED_WITH.items() if with_ == name)):
                point.pop(changed, None)
            if value is not None:
                point[name] = value
        return dict(sorted(point.items(), key=lambda item: names.index(item[0]) if item[0] in names else len(names)))

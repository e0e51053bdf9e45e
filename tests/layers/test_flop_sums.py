"""Numbers of operations add up part by part."""

from layers.costs import Flops


def test_parts_are_added_not_chained():
    assert Flops(1, 20) + Flops(300, 4000) == Flops(301, 4020)
    assert Flops(1, 20) + Flops(300, 4000) == (301, 4020)


def test_a_sum_of_many():
    total = sum((Flops(n, 10 * n) for n in (1, 2, 3)), start=Flops(0, 0))
    assert total == Flops(6, 60) and isinstance(total, Flops)
    assert sum([], start=Flops(0, 0)) == Flops(0, 0)


def test_names_of_the_parts():
    assert Flops(3, 7).forward == 3 and Flops(3, 7).backward == 7

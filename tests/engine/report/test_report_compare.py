"""What differs between runs, and which are seeds of one experiment."""

from engine.report.runs import ABSENT, differences, grouped


def grouping(runs):
    return [(group.label, [run.name for run in group.runs]) for group in grouped(runs)]


def test_only_settings_that_differ_are_listed(make_run, read):
    runs = read(
        make_run("a", dimension=8),
        make_run("b", dimension=16, wave_residual=False),
        make_run("c", dimension=8, device="cuda"),
    )
    assert differences(runs) == {
        "dimension": ["8", "16", "8"],
        "wave_residual": ["true", "false", "true"],
        "device": ["cpu", "cpu", "cuda"],
    }
    assert differences(runs[:1]) == {} and differences([runs[0], runs[0]]) == {}


def test_a_setting_that_one_network_does_not_have_is_absent(make_run, read):
    found = differences(read(make_run("a"), make_run("b", model="transformer")))
    assert (
        found["model"] == ["wave", "transformer"]
        and found["operation"][1] == ABSENT
        and found["norm_epsilon"][0] == ABSENT
    )


def test_local_files_take_the_place_of_the_corpus(make_run, read):
    found = differences(read(make_run("a"), make_run("b", train_file="/deep/mine.csv")))
    assert found["corpus"] == ["r8", ABSENT] and found["train_file"] == [ABSENT, "/deep/mine.csv"]


def test_seeds_of_equal_settings_stand_together(make_run, read):
    paths = [make_run(f"m{seed}", seed=seed) for seed in (0, 1, 2)] + [make_run("i0", operation="interference")]
    assert grouping(read(*paths)) == [
        ("3 seeds: operation=modulation", ["m0", "m1", "m2"]),
        ("i0: operation=interference, seed=0", ["i0"]),
    ]
    assert grouping(read(*paths[:2])) == [("2 seeds as of m0", ["m0", "m1"])]
    assert grouping(read(paths[0])) == [("m0", ["m0"])]


def test_the_same_seed_twice_is_no_spread_of_seeds(make_run, read):
    paths = [make_run(name, seed=seed) for name, seed in (("a", 0), ("b", 1), ("c", 1))]
    assert grouping(read(*paths)) == [("a: seed=0", ["a"]), ("b: seed=1", ["b"]), ("c: seed=1", ["c"])]


def test_labels_are_short_and_no_two_alike(make_run, read):
    many = {"dimension": 32, "hidden": 8, "epochs": 4, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 0.5}
    labels = [
        group.label
        for group in grouped(read(make_run("a"), make_run("b", **many), make_run("c\n" + "x" * 90, dimension=32)))
    ]
    assert labels[1] == "b" and len(labels[2]) < 105 and "\n" not in labels[2] and "…" in labels[2]
    twins = [
        make_run(f"{where}-{seed}", train_file=f"/{where}/train.csv", seed=seed)
        for where in ("here", "there")
        for seed in (0, 1)
    ]
    assert [group.label for group in grouped(read(*twins))] == [
        "1) 2 seeds: train_file=train.csv",
        "2) 2 seeds: train_file=train.csv",
    ]

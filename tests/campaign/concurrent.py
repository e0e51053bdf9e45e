"""Several processes at once on one folder: one of them trains, the others say so in a line and disturb nothing."""

import shutil

from tests.campaign.program import Outcome, begin, corpus_in, difference, in_child, start, wait, wrong_end
from tests.campaign.trials import Trials
from tests.support.final_state import final_state


def side_by_side(trials: Trials) -> None:
    """Begin, resume, read and predict in one folder at once."""
    files, output = corpus_in(trials.folder / "corpus"), trials.folder / "work" / "run"
    output.parent.mkdir()
    words = begin(files, output)
    assert in_child(words).code == 0
    expected = final_state(output)
    cache = ["--cache-dir", str(output.parent / "cache")]
    readers = [
        ["predict", str(output), "ball"], ["describe", str(output)], ["evaluate", str(output), *cache],
    ]  # fmt: skip
    for _ in trials.numbers():
        resumes = trials.rng.random() < 0.5
        if resumes:
            (output / "result.json").unlink(missing_ok=True)
            shutil.rmtree(output / "checkpoints", ignore_errors=True)
        else:
            shutil.rmtree(output.parent)
            output.parent.mkdir()
        writer = ["--resume", str(output), *cache] if resumes else words
        count = trials.rng.randint(2, 4)
        children = [start(writer) for _ in range(count)]
        others = [start(trials.rng.choice(readers)) for _ in range(trials.rng.randint(0, 2))]
        ended = [wait(child) for child in children]
        read = [wait(child) for child in others]
        problem = next(filter(None, map(wrong_end, [*ended, *read])), None)
        problem = problem or (None if any(done.code == 0 for done in ended) else f"none trained: {ended[0].err!r}")
        problem = problem or difference(output, expected)
        what = "resumed" if resumes else "begun"
        trials.expect(problem, f"{count} processes, {what}", f"{what}: {refused(ended)} of {count} refused")


def refused(ended: list[Outcome]) -> int:
    """How many were refused."""
    return sum(done.code == 2 for done in ended)

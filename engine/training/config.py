"""The settings of a training, as one frozen, validated dataclass."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine.arrays.backend import blas_threads
from engine.arrays.matmul import PRECISIONS, product_precision
from engine.support.errors import UserError
from engine.support.implementation import IMPLEMENTATIONS, using
from engine.support.settings import Settings, setting
from engine.training.calibration import CALIBRATIONS
from engine.training.class_factors import DECISIONS
from engine.training.class_weights import CLASS_WEIGHTS, check_class_weights

THRESHOLDS = ("one", "each", "half")
SELECT = ("accuracy", "macro_f1", "loss")
EMBEDDING_UPDATES = ("lazy", "dense")
LONG_EPOCH = 3_000  # steps
MANY_CLASSES = 20
VALIDATION_STEPS, MOST_VALIDATIONS = 500, 4  # in an epoch, where their number is left to the program


@dataclass(frozen=True)
class TrainingConfig(Settings):
    """Settings of AdamW, its schedule, and when to stop."""

    seed: int = setting(
        0, "seed of initial parameters, data order, dropout and the validation split", minimum=0, maximum=2**63 - 1
    )
    epochs: int = setting(4, "passes over the training texts", minimum=1)
    many_classes_epochs: int = setting(
        0, f"epochs where there are {MANY_CLASSES} classes or more; 0: as many as elsewhere", minimum=0
    )
    step_budget: int = setting(
        0,
        "number of steps, to the nearest whole epoch and at least one, where all epochs take more; 0: all epochs",
        minimum=0,
    )
    batch_size: int = setting(64, "texts per step", minimum=1)
    largest_batch_size: int = setting(
        0,
        f"batch_size is doubled, up to this, while an epoch takes more than {LONG_EPOCH:,} steps; 0: never",
        minimum=0,
    )
    learning_rate: float = setting(1e-3, "peak learning rate", minimum=0.0)
    many_classes_learning_rate: float = setting(
        0.0, f"learning_rate where there are {MANY_CLASSES} classes or more; 0: the same as elsewhere", minimum=0.0
    )
    warmup: float = setting(
        0.05, "share of all steps in which the learning rate rises from 0", minimum=0.0, maximum=1.0
    )
    final_learning_rate: float = setting(
        0.0, "share of the peak that the linear decay would reach one step after the last", minimum=0.0, maximum=1.0
    )
    weight_decay: float = setting(
        0.01, "decoupled weight decay (matrices and embeddings; not biases and norms)", minimum=0.0
    )
    beta1: float = setting(0.9, "decay of the mean of gradients", minimum=0.0, below=1.0)
    beta2: float = setting(0.999, "decay of the mean of squared gradients", minimum=0.0, below=1.0)
    epsilon: float = setting(1e-8, "added to the root of the mean square", minimum=1e-30)
    clip_norm: float = setting(1.0, "largest global norm of the gradient; 0 does not clip", minimum=0.0)
    embedding_update: str = setting(
        "lazy", "update only the rows of a batch, or all (AdamW to the letter)", choices=EMBEDDING_UPDATES
    )
    freeze_vectors: bool = setting(
        False, "keep the embeddings that come from word vectors (vectors) as they are; all others are trained"
    )
    shards: int = setting(
        0,
        "parts of a batch whose gradients are computed apart, by ranks whose number divides theirs, and summed in one "
        "order; 0: as many as there are ranks; for more than one, threads=0 means 1",
        minimum=0,
        maximum=65_536,
    )
    threads: int = setting(
        0,
        "threads of matrix products; 0 leaves it to NumPy's BLAS (results agree to the bit for equal numbers only)",
        minimum=0,
        maximum=4096,
    )
    precision: str = setting(
        "float32", "precision of the operands of matrix products; tf32 on a GPU only", choices=PRECISIONS
    )
    implementation: str = setting(
        "fast",
        "which code computes: fast implementations, the equations alone, or both and a comparison (check); "
        "WAVE_IMPLEMENTATION in the environment takes precedence",
        choices=IMPLEMENTATIONS,
    )
    checkpoint_seconds: int = setting(
        30,
        "least seconds between checkpoints to continue from, which take 3 % of the time at most; "
        "0: one after every epoch",
        minimum=0,
    )
    keep_optimizer: bool = setting(
        True, "keep the moments of a finished training, from which it could be continued; two thirds of its bytes"
    )
    patience: int = setting(
        3,
        "stop after this many epochs without a better validation figure, that of select; 0 never stops early",
        minimum=0,
    )
    validations: int = setting(
        1,
        f"times that the weights are validated within an epoch, its end included; 0: one for {VALIDATION_STEPS} steps, "
        f"{MOST_VALIDATIONS} at most",
        minimum=0,
    )
    averaging: float = setting(
        0.0,
        "share of all steps, at their end, at whose validations the mean of the weights is taken, and validated, too; "
        "0: none",
        minimum=0.0,
        maximum=1.0,
    )
    thresholds: str = setting(
        "one",
        "where a text may have several labels, the probability from which it gets one: one for all classes or one for "
        "each, of the largest validation F1, or half: 0.5",
        choices=THRESHOLDS,
    )
    class_weights: str = setting(
        "none",
        "weights of the training texts by their class, 1 on average: balanced by 1/n of a class of n texts, sqrt by "
        "its root, or given",
        choices=CLASS_WEIGHTS,
    )
    class_weight_values: str = setting(
        "", "of class_weights=given: numbers in proportion to the weights, such as spam=5,ham=1; 1 for other classes"
    )
    select: str = setting(
        "accuracy",
        "validation figure of the best epoch; with several labels a text, accuracy stands for micro F1",
        choices=SELECT,
    )
    decision: str = setting(
        "argmax",
        "where a text has one label: the most probable class, or probabilities divided by thresholds of classes that "
        "raise the validation macro F1",
        choices=DECISIONS,
    )
    calibration: str = setting(
        "none", "divide the logits of probabilities by a temperature fitted to validation texts", choices=CALIBRATIONS
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_class_weights(self.class_weights, self.class_weight_values)
        if self.embedding_update == "lazy" and self.beta1 >= math.sqrt(self.beta2):
            raise UserError(
                f"beta1: expected a number below sqrt(beta2) = {math.sqrt(self.beta2):.4g} for lazy updates, "
                f"got {self.beta1}; or set embedding_update=dense"
            )
        if self.freeze_vectors and self.embedding_update != "lazy":
            raise UserError(
                f"freeze_vectors: expected embedding_update=lazy, got {self.embedding_update}, which updates all rows; "
                "set one of the two"
            )
        for name in ("learning_rate", "many_classes_learning_rate"):
            if self.embedding_update == "lazy" and getattr(self, name) * self.weight_decay >= 1:
                raise UserError(
                    f"weight_decay: expected {name}·weight_decay below 1, "
                    f"got {getattr(self, name)} times {self.weight_decay}; lower one of them"
                )

    def batch_size_over(self, texts: int) -> int:
        """Texts per step where an epoch has so many `texts`: `batch_size`, or more where the epoch is long."""
        size = self.batch_size
        while texts > size * LONG_EPOCH and 2 * size <= self.largest_batch_size:
            size *= 2
        return size

    def epochs_over(self, batches: int, classes: int = 1) -> int:
        """The number of epochs of that many batches: those of so many classes, or fewer to come nearest to the step
        budget.
        """
        epochs = self.epochs if classes < MANY_CLASSES else self.many_classes_epochs or self.epochs
        if not self.step_budget:
            return epochs
        return min(epochs, max(1, (2 * self.step_budget + batches) // (2 * batches)))

    def learning_rate_over(self, classes: int) -> float:
        """The peak learning rate where there are so many classes."""
        return self.learning_rate if classes < MANY_CLASSES else self.many_classes_learning_rate or self.learning_rate

    def validations_over(self, batches: int) -> list[int]:
        """The numbers of batches of an epoch of that many after which it is validated, rising; the last is its end."""
        count = min(self.validations, batches) or max(1, min(MOST_VALIDATIONS, batches // VALIDATION_STEPS))
        return [(batches * part + count // 2) // count for part in range(1, count + 1)]


_in_force: list[tuple[int, str, str]] = []  # the threads, the implementation and the precision of each context


def threads_in_force() -> int:
    """The number of threads that the settings in force give; 1 where they leave it to BLAS, and without settings."""
    return max(1, _in_force[-1][0]) if _in_force else 1


@contextlib.contextmanager
def computing(training: TrainingConfig, device: str) -> Iterator[None]:
    """Compute with the threads, the implementation and the precision of a TrainingConfig; "cpu" always has float32.

    Within a context of the same nothing is done: looking for the BLAS takes a millisecond.
    """
    precision = training.precision if device == "cuda" else "float32"
    wanted = (training.threads, training.implementation, precision)
    if wanted in _in_force[-1:]:
        yield
        return
    with blas_threads(training.threads), product_precision(precision, device), using(training.implementation):
        _in_force.append(wanted)
        try:
            yield
        finally:
            _in_force.pop()

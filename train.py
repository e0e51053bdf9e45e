"""The command line: thin click commands, the only place where engine and layers meet.

python train.py                    trains a Wave Network on Reuters R8
python train.py COMMAND --help     train, evaluate, predict, gradcheck, precision, describe, trace, accuracy, sweep, study, report, benchmark, complexity, corpora, doctor
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # until main() begins: Ctrl-C during the imports ends without a traceback

import itertools
import json
import sys
import time
from pathlib import Path

import click
from tqdm import tqdm

from engine import __version__
from engine.arrays.backend import resolve_device
from engine.cli import exit_code_of
from engine.data.config import DataConfig
from engine.data.corpora import SMALL_CORPORA
from engine.support.errors import UserError, require_utf8
from engine.support.text import format_table
from engine.training.config import TrainingConfig
from engine.training.run_settings import Choices, field_rows, layered_settings, parse_assignments, read_settings_file
from engine.training.session import open_run, resume_run, start_run
from layers.experiments.benchmark.workloads import VOCABULARY
from layers.experiments.complexity.models import LENGTH, LENGTHS, TEXTS, TOKENS
from layers.experiments.complexity.models import MODELS as COST_MODELS
from layers.experiments.study.plan import RUNS as STUDY_RUNS
from layers.networks import CONFIGS, build_network
from layers.networks.presets import DEFAULTS, PRESETS
from layers.wave import OPERATIONS

COLUMN_WIDTH = 100  # of help texts
CHOICES = Choices(CONFIGS, PRESETS, DEFAULTS)
JOB_COMMAND = [
    sys.executable,
    str(Path(__file__).resolve()),
    "sweep-job",
]  # starts a process that does a job of a sweep


class DefaultToTrain(click.Group):
    """Where the first argument is no subcommand, `train` is inserted: options of training then belong to it alone."""

    def parse_args(self, ctx, args):
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            args = ["train", *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultToTrain, context_settings={"max_content_width": COLUMN_WIDTH, "help_option_names": ["--help"]})
@click.version_option(__version__, prog_name="wave-network")
def cli():
    """Wave Networks (Token2Wave) with every gradient derived and written by hand.

    Without a command, `train` runs: python train.py --corpus r52 --operation interference
    """


def options(*decorators):
    """Several click options as one decorator, in the order in which --help shows them."""

    def decorate(function):
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def field_option(flag, field, **more):
    """An option that sets one field of the settings, with the field's own help text and choices."""
    for part in (DataConfig, *CONFIGS.values(), TrainingConfig):
        if field in part.fields():
            metadata = part.fields()[field].metadata
            kind = click.Choice(metadata["choices"]) if metadata["choices"] else more.pop("type", str)
            return click.option(
                flag,
                field,
                type=kind,
                help=more.pop("help", metadata["help"][0].upper() + metadata["help"][1:] + "."),
                **more,
            )
    raise KeyError(field)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def device_option(default="cpu", help="Where to compute; auto takes a usable GPU, else the CPU."):
    return click.option(
        "--device",
        type=click.Choice(["cpu", "cuda", "auto"]),
        default=default,
        show_default=default is not None,
        help=help,
    )


cache_option = click.option(
    "--cache-dir", type=click.Path(), metavar="DIR", help="Where downloaded corpora and token ids are kept."
)
with_option = click.option(
    "--with",
    "others",
    type=click.Path(),
    multiple=True,
    metavar="RUN_DIR",
    help="Average the class probabilities with this run's; repeatable.",
)
settings_options = options(
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help=f"Named set of fields.  [default: {', '.join(DEFAULTS.values())}, by model]",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(),
        metavar="FILE.toml",
        help="Fields from a file, such as a run's config.toml.",
    ),
    click.option(
        "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Set any field; describe --fields lists them."
    ),
)
data_options = options(
    field_option(
        "--corpus",
        "corpus",
        metavar="NAME",
        help="By name, fetched at first use; the command corpora lists them.  [default: r8]",
    ),
    field_option("--train-file", "train_file", metavar="FILE", help="Own texts: CSV, TSV or JSON lines, also gzip."),
    field_option(
        "--validation-file", "validation_file", metavar="FILE", help="Chooses the best epoch; else split off training."
    ),
    field_option("--test-file", "test_file", metavar="FILE", help="Only measured at the end."),
    field_option("--text-columns", "text_columns", metavar="NAMES", help="Names or positions from 1, comma-separated."),
    field_option("--label-column", "label_column", metavar="NAME", help="Name or position from 1."),
    field_option("--tokenizer", "tokenizer", metavar="FILE", help="Existing tokenizer.json or BERT vocab.txt."),
    field_option("--tokens", "tokens", help="Of the vocabulary learned otherwise."),
    field_option("--vocabulary-size", "vocabulary_size", metavar="N", help="Of the vocabulary learned otherwise."),
)
model_option = click.option(
    "--model", type=click.Choice(list(CONFIGS)), help="Kind of network.  [default: that of the preset, else wave]"
)
network_options = options(
    model_option,
    field_option("--operation", "operation", help="How the two waves are combined."),
    field_option("--readout", "readout", help="How a wave becomes real numbers."),
    field_option("--dimension", "dimension", metavar="D", help="Length of a token's embedding."),
    field_option("--blocks", "blocks", metavar="N", help="Number of blocks."),
)
training_options = options(
    field_option("--epochs", "epochs", metavar="N", help="Passes over the training texts."),
    field_option("--batch-size", "batch_size", metavar="N", help="Texts per step."),
    field_option("--learning-rate", "learning_rate", metavar="RATE", help="Peak of AdamW's learning rate."),
    field_option("--precision", "precision", help="Of matrix products; tf32 on a GPU only."),
    field_option("--seed", "seed", metavar="N", help="Of everything random."),
)


def chosen_settings(preset, config_file, assignments, fields):
    """RunSettings: defaults, then the preset, the file, --set and the options; later ones win."""
    given = {name: value for name, value in fields.items() if value is not None}
    first = read_settings_file(config_file, CONFIGS) if config_file else {}
    return layered_settings(CHOICES, preset, [parse_assignments(assignments), given], first, "--preset")


def new_run_path(settings):
    """runs/<date-time>-<corpus>-<operation or model>, with a number behind it where that exists."""
    corpus = "files" if settings.data.train_file else settings.data.corpus
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{corpus}-{settings.network.label()}"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path


@cli.command(short_help="Train a network and measure it (the default command).")
@settings_options
@data_options
@network_options
@training_options
@click.option(
    "--output", type=click.Path(), metavar="DIR", help="Run directory.  [default: runs/<date-time>-<corpus>-<network>]"
)
@click.option(
    "--resume", type=click.Path(), metavar="RUN_DIR", help="Continue an interrupted run with its own settings."
)
@device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed run]")
@cache_option
@json_option
@click.pass_context
def train(ctx, preset, config_file, assignments, output, resume, device, cache_dir, as_json, **fields):
    """Train a network, measure it on the test texts, keep everything in a run directory.

    Ctrl-C saves and stops; --resume RUN_DIR goes on from there.
    """
    tell = teller(as_json)
    if resume is not None:
        require_nothing_but(ctx, f"--resume {resume}", {"resume", "device", "cache_dir", "as_json"})
        result = resume_run(resume, CONFIGS, build_network, device, cache_dir, tell)
    else:
        settings = chosen_settings(preset, config_file, assignments, fields)
        result = start_run(
            settings, build_network, output or new_run_path(settings), resolve_device(device or "cpu"), cache_dir, tell
        )
    click.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else result_table(result))


def given_options(ctx, chosen):
    """The options that stand on the command line and whose parameter name chosen(name) accepts."""
    on_line = click.core.ParameterSource.COMMANDLINE
    return [p.opts[0] for p in ctx.command.params if ctx.get_parameter_source(p.name) == on_line and chosen(p.name)]


def require_nothing_but(ctx, run, allowed):
    """Raise UserError when options beside `allowed` were given: a run has its settings, and nothing is silently dropped."""
    given = given_options(ctx, lambda name: name not in allowed)
    if given:
        raise UserError(
            f"{run}: takes the run's own settings, so {', '.join(given)} cannot be given with it; leave it out"
        )


def teller(as_json):
    """Notes go to stdout before a table, to stderr beside JSON."""
    return lambda line: click.echo(line, err=as_json)


def result_table(result):
    """The end of a training run: a row per class, then the figures."""
    lines = [""]
    if result["classes"]:
        lines += [class_table(result["classes"]), ""]
    percent = lambda value: "-" if value is None else f"{100 * value:.2f} %"  # noqa: E731
    memory = f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB"
    figures = [
        ("test accuracy", percent(result["test_accuracy"])),
        ("test macro F1", percent(result["test_macro_f1"])),
        (
            "validation accuracy",
            f"{percent(result['validation_accuracy'])} (epoch {result['best_epoch']} of {result['epochs']})",
        ),
        ("training time", f"{result['train_seconds']:.1f} s, {result['tokens_per_second']:,.0f} tokens/s"),
        ("peak memory", memory),
        ("run directory", result["run_directory"]),
    ]
    width = max(len(name) for name, _ in figures)
    return "\n".join(lines + [f"{name:{width}}  {value}" for name, value in figures])


def class_table(rows):
    cells = [(r["name"], r["texts"], *(f"{100 * r[k]:.1f} %" for k in ("precision", "recall", "f1"))) for r in rows]
    return format_table(["class", "texts", "precision", "recall", "F1"], cells)


@cli.command(short_help="Measure a trained network on labelled texts.")
@click.argument("run_dir", type=click.Path())
@with_option
@click.option(
    "--test-file", type=click.Path(), metavar="FILE", help="Labelled texts.  [default: the test texts of RUN_DIR]"
)
@click.option("--text-columns", metavar="NAMES", help="Names or positions from 1, comma-separated.")
@click.option("--label-column", metavar="NAME", help="Name or position from 1.")
@device_option()
@cache_option
@json_option
def evaluate(run_dir, others, test_file, text_columns, label_column, device, cache_dir, as_json):
    """Measure the best checkpoint of RUN_DIR, or of several runs together, on labelled texts."""
    from engine.training.ensemble import evaluate_together

    changes = {"text_columns": text_columns, "label_column": label_column}
    if not test_file and any(changes.values()):
        raise UserError(
            "--text-columns and --label-column say how to read --test-file FILE; give it too, or leave them out"
        )
    columns = {name: value for name, value in changes.items() if value is not None}
    runs, device = [run_dir, *others], resolve_device(device)
    result = evaluate_together(runs, CONFIGS, build_network, device, cache_dir, test_file, columns, teller(as_json))
    if as_json:
        click.echo(
            json.dumps(
                {**result._asdict(), "classes": [row._asdict() for row in result.classes]}, indent=2, ensure_ascii=False
            )
        )
        return
    click.echo("\n" + class_table([row._asdict() for row in result.classes]) + "\n")
    click.echo(
        f"accuracy {100 * result.accuracy:.2f} %, macro F1 {100 * result.macro_f1:.2f} %, loss {result.loss:.4f}"
    )


@cli.command(short_help="Label texts with a trained network.")
@click.argument("run_dir", type=click.Path())
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@with_option
@device_option()
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each text, with all probabilities.")
def predict(run_dir, texts, others, device, as_json):
    """Label each TEXT, or each line of standard input, with its class and probability.

    With several runs (--with) that is the class of the largest mean probability.
    A TEXT that begins with a dash comes after two dashes: predict RUN_DIR -- "-5 degrees".
    """
    from engine.data.prepare import read_lines
    from engine.training.ensemble import common_classes, mean_probabilities

    runs, device = [run_dir, *others], resolve_device(device)
    classes = common_classes(runs)
    if not texts and sys.stdin is None:
        raise UserError(
            "standard input is closed; give each TEXT as an argument, or the texts on standard input, one a line"
        )
    if not texts and sys.stdin.isatty():
        click.echo("reading texts from the terminal, one a line; end with Ctrl-D", err=True)
    texts = [decoded(text, number) for number, text in enumerate(texts, start=1)] or read_lines(sys.stdin.buffer)
    predicted = mean_probabilities(runs, texts, CONFIGS, build_network, device)
    for text, probabilities in zip(texts, predicted):
        best = int(probabilities.argmax())
        if as_json:
            every = {name: round(float(p), 6) for name, p in zip(classes, probabilities)}
            line = {
                "text": text,
                "label": classes[best],
                "probability": float(probabilities[best]),
                "probabilities": every,
            }
            click.echo(json.dumps(line, ensure_ascii=False))
        else:
            click.echo(f"{classes[best]}\t{probabilities[best]:.4f}")


def decoded(text, number):
    """The text; UserError where bytes of the command line are no UTF-8."""
    require_utf8(text, f"TEXT {number}", "convert the text to UTF-8")
    return text


@cli.command(short_help="Check every equation against numerical derivatives.")
@click.option(
    "--examples", type=click.IntRange(1), metavar="N", default=3, show_default=True, help="Random examples of each row."
)
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Of the random examples."
)
@device_option(help="cuda or auto: hold a GPU against the CPU as well.")
@json_option
@click.pass_context
def gradcheck(ctx, examples, seed, device, as_json):
    """Check every equation and layer against numerical derivatives; exit code 1 if any fails."""
    from engine.gradcheck.report import json_safe
    from layers.experiments.gradcheck.suite import run_suite, suite_size, suite_table

    device = resolve_device(device)
    results = list(
        tqdm(
            run_suite(examples, seed, device),
            total=suite_size(device),
            desc="gradient checks",
            unit="check",
            leave=False,
            disable=None,
        )
    )
    ok = all(result.ok for result in results)
    if as_json:
        click.echo(json.dumps(json_safe({"ok": ok, "checks": [result._asdict() for result in results]}), indent=2))
    else:
        click.echo(suite_table(results))
        click.echo(
            f"\n{sum(r.ok for r in results)} of {len(results)} checks passed, {examples} random examples each, float64, seed {seed}"
        )
    if not ok:
        ctx.exit(1)


@cli.command(short_help="Show the digits that float32 keeps where one token dominates.")
@click.option(
    "--scope",
    type=click.Choice(["dimension", "text"]),
    default="dimension",
    show_default=True,
    help="Over what a magnitude is taken.",
)
@click.option(
    "--tokens", type=click.IntRange(2, 10_000), metavar="N", default=32, show_default=True, help="Of each text."
)
@click.option("--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Of the random texts.")
@click.option("--figure", type=click.Path(), metavar="FILE", help="Draw it as well, as .svg or .png (extra plots).")
@json_option
def precision(scope, tokens, seed, figure, as_json):
    """Errors of Token2Wave in float32 against the ratio of one dominating token to the others, computed in three ways.

    polar: the equations E1, E2, E3. difference: sqrt(G² − w²). closed form: E4, with which networks are trained.
    """
    from engine.gradcheck.report import json_safe
    from engine.report.figures import Level, Panel, require_plots, write_line_plot
    from layers.experiments.precision import COLUMNS, LABELS, ROUNDING, TEXTS, precision_rows

    if figure is not None:
        require_plots(figure)
    rows = precision_rows(scope, tokens, seed)
    if as_json:
        click.echo(
            json.dumps(
                json_safe({"scope": scope, "tokens": tokens, "seed": seed, "rows": [row._asdict() for row in rows]}),
                indent=2,
            )
        )
    else:
        names = [f"{part}: {way.replace('_', ' ')}" for part in ("im", "dw") for way in LABELS]
        cells = [
            (f"{row.ratio:.0e}", *(f"{error:.1e}" for part in (row.im, row.dw) for error in part.values()))
            for row in rows
        ]
        click.echo(format_table(["ratio", *names], cells, align=">" * 7))
        click.echo(
            f"\nworst error of {TEXTS} texts of {tokens} tokens in {COLUMNS} columns, float32 beside float64, scope {scope}, seed {seed}"
        )
        click.echo(f"im: relative; dw: relative to the sizes of its terms; one rounding of float32 is {ROUNDING:.1e}")
    if figure is not None:
        titles = {"im": "imaginary part im", "dw": "gradient dw"}
        panels = [
            Panel(titles[part], {LABELS[way]: [getattr(row, part)[way] for row in rows] for way in LABELS})
            for part in titles
        ]
        levels = (Level(1, "all digits lost"), Level(ROUNDING, "one rounding, 6e-8"))
        write_line_plot(
            figure,
            [row.ratio for row in rows],
            panels,
            "dominating token / others",
            "relative error in float32",
            levels,
        )
        teller(as_json)(f"drawn: {figure}")


@cli.command(short_help="Show a network's parts, or list all settings.")
@click.argument("run_dir", type=click.Path(), required=False)
@settings_options
@data_options
@network_options
@click.option("--fields", "list_fields", is_flag=True, help="List every field, its value and its meaning.")
@json_option
@click.pass_context
def describe(ctx, run_dir, preset, config_file, assignments, list_fields, as_json, **fields):
    """Show a network's parts, shapes and parameter counts without training it.

    Of RUN_DIR, or of the given settings: there the vocabulary has its largest size.
    """
    if run_dir:
        require_nothing_but(ctx, run_dir, {"run_dir", "list_fields", "as_json"})
        run = open_run(run_dir, CONFIGS, build_network)
        settings, network = run.settings, run.network
    else:
        settings = chosen_settings(preset, config_file, assignments, fields)
        network = None
    if list_fields:
        rows = field_rows(settings)
        if as_json:
            keys = ("section", "field", "value", "allowed", "meaning")
            click.echo(json.dumps([dict(zip(keys, row)) for row in rows], indent=2))
        else:
            click.echo(field_list(rows))
        return
    network = network or build_network(settings.network, *sizes_of(settings.data), settings.training.seed)
    if not as_json:
        click.echo(network.describe())
        if not run_dir and (words := largest_vocabulary(settings.data)):
            click.echo(f"\n{words}")
        return
    parts = [{"part": part, "shapes": shapes, "parameters": count} for part, shapes, count in network.part_rows()]
    total, table = network.parameter_count(), network.embedding.table.value.size
    click.echo(json.dumps({"parts": parts, "parameters": total, "without_embedding": total - table}, indent=2))


def field_list(rows):
    """The rows of field_rows as a list by section, wrapped to the terminal."""
    formatter = click.HelpFormatter(max_width=COLUMN_WIDTH)
    for section, group in itertools.groupby(rows, key=lambda row: row[0]):
        with formatter.section(section):
            formatter.write_dl(
                [(f"{name}={value}", f"{meaning}; {allowed}") for _, name, value, allowed, meaning in group]
            )
    return formatter.getvalue().strip()


def largest_vocabulary(data):
    """What describe says about the rows of the embedding before there is a run."""
    lines = (
        []
        if data.tokenizer
        else [
            f"The vocabulary is learned from the training texts: at most {data.vocabulary_size:,} {data.tokens}, as counted here."
        ]
    )
    lines += [f"Up to {data.ngram_vocabulary_size:,} n-grams of the training texts come on top."] * (data.ngrams > 1)
    return "\n".join([*lines, *["The affixes of their words come on top."] * data.affixes])


def sizes_of(data):
    """(vocabulary, classes) that a network of these settings would have, as far as they are known before training: without n-grams and affixes."""
    from engine.data.prepare import count_classes
    from engine.data.tokenizer import load_tokenizer

    vocabulary = load_tokenizer(data.tokenizer).get_vocab_size() if data.tokenizer else data.vocabulary_size
    return vocabulary, count_classes(data)


@cli.command(short_help="Walk a text through a network and back, every gradient checked.")
@click.argument("arguments", nargs=-1, metavar="[RUN_DIR] TEXT")
@click.option("--label", metavar="NAME", help="Class of the loss.  [default: the predicted one; without RUN_DIR 0]")
@click.option(
    "--model", type=click.Choice(list(CONFIGS)), default="wave", show_default=True, help="Kind of the random network."
)
@field_option("--operation", "operation", help="Of the random Wave Network.")
@field_option("--readout", "readout", help="Of the random Wave Network.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Of the random network."
)
@click.option(
    "--dimension-shown",
    "dimension",
    type=click.IntRange(0),
    metavar="K",
    default=0,
    show_default=True,
    help="Of the waves, drawn as phasors.",
)
@click.option(
    "--values",
    "shown",
    type=click.IntRange(1, 100),
    metavar="N",
    default=4,
    show_default=True,
    help="First entries shown of each array.",
)
@click.option(
    "--html", type=click.Path(), metavar="FILE", help="Also write a page with equations and phasors (extra plots)."
)
@json_option
@click.pass_context
def trace(ctx, arguments, label, model, operation, readout, seed, dimension, shown, html, as_json):
    """Show every value of a text's forward pass and every gradient beside its numerical value.

    Of the trained network in RUN_DIR, or of a small random one that knows just the words of TEXT.
    Exit code 1 if a gradient does not match. A TEXT that begins with a dash comes after two dashes, as in predict.
    """
    from engine.report.html import mathml_converter
    from engine.support.files import require_writable
    from layers.experiments.trace.page import as_page, write_page
    from layers.experiments.trace.table import as_text
    from layers.experiments.trace.trace import as_json_object, random_subject, trace_subject, trained_subject

    if not 1 <= len(arguments) <= 2:
        raise click.UsageError(
            f"expected TEXT, or RUN_DIR and TEXT, got {len(arguments)} arguments; quote a text of several words", ctx
        )
    if html is not None:
        require_writable(html, "--html")
    to_mathml = None if html is None else mathml_converter()
    text = decoded(arguments[-1], 1)
    if len(arguments) == 2:
        run_dir = arguments[0]
        require_nothing_but(ctx, run_dir, {"arguments", "label", "dimension", "shown", "html", "as_json"})
        run = open_run(run_dir, CONFIGS, build_network)
        require_waves(ctx, run_dir, run.settings.network.model)
        subject = trained_subject(run, text, run_dir, label)
    else:
        require_waves(ctx, f"--model {model}", model)
        subject = random_subject(text, operation, readout, seed, label, model)
    traced = trace_subject(subject, shown, dimension, seed, entries=as_json or html is not None)
    click.echo(
        json.dumps(as_json_object(traced), indent=2, ensure_ascii=False, allow_nan=False)
        if as_json
        else as_text(traced)
    )
    if html is not None:
        write_page(html, as_page(traced), to_mathml)
        teller(as_json)(f"page written to {html}")
    if not traced.ok:
        ctx.exit(1)


def require_waves(ctx, given_by, model):
    """Raise UserError when options of waves were given for a network of another model. given_by: what the model comes from."""
    given = [] if model == "wave" else given_options(ctx, lambda name: name in ("operation", "readout", "dimension"))
    if given:
        raise UserError(
            f"{given_by}: a {model} has no waves, so {', '.join(given)} cannot be given with it; leave it out"
        )


def sweep_options(default):
    """The options of a command that runs a sweep; default: what its folder is called by default."""
    return options(
        click.option(
            "--jobs",
            type=click.IntRange(1),
            metavar="N",
            help="Runs at a time; 1 where the seconds matter.  [default: as many as cores allow]",
        ),
        click.option("--linear", is_flag=True, help="Beside them TF-IDF and a linear SVM (extra bench)."),
        click.option(
            "--together",
            type=click.IntRange(2),
            metavar="N",
            help="Also N seeds at a time as one: the mean of their class probabilities.",
        ),
        click.option(
            "--output",
            type=click.Path(),
            metavar="DIR",
            help=f"Folder of runs and tables.  [default: runs/{default}-<date-time>]",
        ),
        click.option(
            "--resume",
            type=click.Path(),
            metavar="DIR",
            help="Continue an interrupted one; what has finished is left as it is.",
        ),
        device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed one]"),
        cache_option,
        json_option,
    )


@cli.command(short_help="Train corpora, operations and seeds; print a table.")
@settings_options
@click.option(
    "--corpora", metavar="NAMES", default=",".join(SMALL_CORPORA), show_default=True, help="Comma-separated names."
)
@model_option
@click.option(
    "--operations", metavar="NAMES", help="Of model wave, comma-separated.  [default: interference,modulation]"
)
@click.option("--seeds", metavar="NUMBERS", default="0,1,2", show_default=True, help="Comma-separated numbers.")
@sweep_options("accuracy")
@click.pass_context
def accuracy(ctx, preset, config_file, assignments, corpora, model, operations, seeds, **running):
    """Train every corpus with every operation and seed; print mean and spread of the test accuracy.

    It is a sweep: a file for the command sweep can vary any setting.
    """
    from engine.sweep.description import describe as describe_sweep

    def description():
        base = chosen_settings(preset, config_file, assignments, {"model": model})
        if base.data.train_file:
            raise UserError("accuracy: measures corpora by name; leave train_file out of --set and --config")
        fields = {
            **(read_settings_file(config_file, CONFIGS) if config_file else {}),
            **parse_assignments(assignments),
            "model": base.network.model,
        }
        fields = {name: value for name, value in fields.items() if name not in ("seed", "corpus")}
        kinds = names_in(operations) if operations else list(OPERATIONS) if base.network.model == "wave" else []
        grid = {
            "corpus": {name: {"corpus": name} for name in named_once("--corpora", names_in(corpora))},
            "network": {name: {"operation": name} for name in named_once("--operations", kinds)}
            or {base.network.label(): {}},
        }
        named = {} if preset is None else {"preset": preset}
        return describe_sweep(
            {**named, "seeds": names_in(seeds), "set": fields, "grid": grid}, "accuracy", Path(), CHOICES
        )

    run_sweep(ctx, description, **running)


def named_once(option, names):
    """The names; UserError where one stands twice."""
    from engine.sweep.description import require_distinct

    require_distinct(names, option)
    return names


@cli.command(short_help="Train the settings and seeds of a file; print a table.")
@click.argument("file", type=click.Path(), required=False, metavar="[FILE.toml]")
@sweep_options("sweep")
@click.pass_context
def sweep(ctx, file, **running):
    """Train every combination of the settings in FILE.toml with every seed, in processes side by side; print a table.

    \b
        seeds = [0, 1, 2]
        [set]                                        # fields of all runs
        epochs = 4
        [grid]                                       # a field with its values, or labelled changes
        operation = ["interference", "modulation"]
        [grid.change]
        none = {}
        "no dropout" = { token_dropout = 0.0, classifier_dropout = 0.0 }

    preset = "NAME" may stand at the top or in a change. Names of files are relative to the folder of FILE.toml. Ctrl-C saves
    and stops; --resume DIR goes on. Exit code 1 if a run fails; the others are run nevertheless.
    """
    from engine.sweep.description import read_description

    def description():
        if file is None:
            raise click.UsageError("expected FILE.toml, or --resume DIR", ctx)
        return read_description(file, CHOICES)[0]

    run_sweep(ctx, description, **running)


def run_sweep(ctx, description, jobs, linear, together, output, resume, device, cache_dir, as_json):
    """Run description() in a new folder, or what an old one describes; print the table, and which runs failed."""
    from engine.sweep.results import as_text
    from engine.sweep.run import Setup, read_sweep, resume_sweep, start_sweep

    def setup(device, linear, together):
        return Setup(CHOICES, JOB_COMMAND, resolve_device(device), jobs or 0, linear, together, cache_dir, teller(True))

    if resume is not None:
        require_nothing_but(ctx, f"--resume {resume}", {"resume", "jobs", "device", "cache_dir", "as_json"})
        folder, (described, where) = resume, read_sweep(resume, CHOICES)
        results = resume_sweep(described, folder, setup(device or where["device"], where["linear"], where["together"]))
    else:
        folder = output or f"runs/{ctx.info_name}-{time.strftime('%Y%m%d-%H%M%S')}"
        results = start_sweep(description(), folder, setup(device or "cpu", linear, together or 0))
    click.echo(json.dumps(results, indent=2, ensure_ascii=False) if as_json else as_text(results))
    teller(True)(f"\nruns, results.json, table.md and table.csv are in {folder}")
    for failure in results["failed"]:
        click.echo(f"failed: {failure['run']}: {failure['reason']}", err=True)
    if results["failed"]:
        ctx.exit(1)


@cli.command("sweep-job", hidden=True)
def sweep_job():
    """Do one job of a sweep, which stands on standard input: the command sweep starts this one."""
    from engine.sweep.workers import do_job

    do_job(sys.stdin.fileno(), CONFIGS, build_network)


@cli.command(short_help="Train waves and a Transformer side by side, and compare.")
@data_options
@click.option("--dimension", metavar="D", help="Of all networks.  [default: 256]")
@field_option("--epochs", "epochs", metavar="N", help="Passes over the training texts.  [default: 5]")
@field_option("--batch-size", "batch_size", metavar="N", help="Texts per step.  [default: 64]")
@field_option("--seed", "seed", metavar="N", help="Of everything random.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="[RUN.]NAME=VALUE",
    help="Set any field, in all runs that have it or in one.",
)
@click.option("--runs", metavar="NAMES", default=",".join(STUDY_RUNS), show_default=True, help="Comma-separated.")
@click.option(
    "--snapshots",
    type=click.IntRange(1),
    metavar="N",
    default=10,
    show_default=True,
    help="Measurements of independence and waves.",
)
@click.option(
    "--output", type=click.Path(), metavar="DIR", help="Folder of the study.  [default: runs/study-<date-time>]"
)
@click.option("--resume", type=click.Path(), metavar="DIR", help="Continue an interrupted study with its own settings.")
@device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed study]")
@cache_option
@json_option
@click.pass_context
def study(ctx, dimension, assignments, runs, snapshots, output, resume, device, cache_dir, as_json, **fields):
    """Train interference, modulation and a Transformer on the same texts in the same order, and compare how they learn.

    Of every step: loss, accuracy, and the gradient at [CLS], at all input tokens and at the classifier. Now and then: how independent
    the embedding's dimensions are, phases and magnitudes. Writes study.json, figures and a page, study.html (extra plots).
    Ctrl-C saves and stops; --resume DIR goes on from there.
    """
    from engine.report.figures import require_matplotlib
    from layers.experiments.study import run as studies
    from layers.experiments.study.figures import write_figures
    from layers.experiments.study.measures import BINS, wave_counts
    from layers.experiments.study.page import write_page
    from layers.experiments.study.plan import plan
    from layers.experiments.study.summary import readings_table

    require_matplotlib("study.svg")
    tell = teller(as_json)
    if resume is not None:
        require_nothing_but(ctx, f"--resume {resume}", {"resume", "device", "cache_dir", "as_json"})
        folder = Path(resume)
        planned, before = studies.read_study(folder, CONFIGS, build_network, wave_counts, BINS)
        recorded, matrices = studies.continue_study(planned, folder, resolve_device(device or before), cache_dir, tell)
    else:
        chosen = {name: value for name, value in {"dimension": dimension, **fields}.items() if value is not None}
        planned = studies.Study(
            plan(chosen, parse_assignments(assignments).items(), names_in(runs)),
            snapshots,
            build_network,
            wave_counts,
            BINS,
        )
        folder = Path(output or f"runs/study-{time.strftime('%Y%m%d-%H%M%S')}")
        recorded, matrices = studies.start_study(planned, folder, resolve_device(device or "cpu"), cache_dir, tell)
    write_page(folder / "study.html", recorded, write_figures(folder, recorded, matrices))
    headings, rows = readings_table(recorded)
    click.echo(
        json.dumps(recorded, indent=2, ensure_ascii=False)
        if as_json
        else "\n" + format_table(headings, rows, align="<" + ">" * len(headings[1:]))
    )
    tell(f"\nstudy.json, figures and study.html are in {folder}")


@cli.command(short_help="Draw the curves of runs and what they confuse, as a page.")
@click.argument("run_dirs", nargs=-1, required=True, type=click.Path(), metavar="RUN_DIR...")
@click.option(
    "--output", type=click.Path(), metavar="FILE.html", default="report.html", show_default=True, help="The page."
)
@device_option()
@cache_option
@json_option
def report(run_dirs, output, device, cache_dir, as_json):
    """Draw loss, accuracy, learning rate and gradient of runs step by step, and what each takes for what on its test texts, as one page.

    The curves of all runs lie in the same figures, those of equal settings and different seeds as their mean with a band. The best
    checkpoint of each finished run gives its confusion matrix, figures by class, and the texts it labels wrong with most certainty.
    Needs matplotlib (extra plots).
    """
    from engine.report.page import require_page, write_page
    from engine.report.summary import as_json_object, as_table, make_report

    require_page(output)
    made = make_report(run_dirs, CONFIGS, build_network, resolve_device(device), cache_dir)
    write_page(output, made)
    click.echo(json.dumps(as_json_object(made, output), indent=2, ensure_ascii=False) if as_json else as_table(made))
    teller(as_json)(f"\npage written to {output}")


@cli.command(short_help="Measure the speed, beside PyTorch where it is installed.")
@device_option(help="cuda or auto: steps of the paper's network on a GPU, with random texts of AG News' lengths.")
@click.option(
    "--corpus", metavar="NAME", default="r8", show_default=True, help="Its texts are trained on and labelled."
)
@click.option("--only", metavar="NAMES", help="Comma-separated figures.  [default: all]")
@click.option(
    "--repeats",
    type=click.IntRange(1),
    metavar="N",
    default=5,
    show_default=True,
    help="Of each figure; the median counts.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="Of both engines, but in memory_… and first_step; 0: as many as they take.",
)
@click.option(
    "--peer/--no-peer", default=None, help="With PyTorch (extra bench) or without.  [default: if it is installed]"
)
@click.option(
    "--figure", type=click.Path(), metavar="FILE", help="Draw time against size as .svg or .png (extra plots)."
)
@cache_option
@json_option
@click.pass_context
def benchmark(ctx, device, corpus, only, repeats, threads, peer, figure, cache_dir, as_json):
    """Measure training, prediction, memory and growth; PyTorch and ours take turns on the same texts.

    On a GPU: steps in batches of 64, 256 and 1,024 texts in float32 and TF32, their parts, memory, and four epochs.
    Takes about five minutes on two cores. Nothing else should run meanwhile.
    """
    if resolve_device(device) == "cuda":
        benchmark_gpu(ctx, only, repeats, peer, as_json)
        return
    from engine.report.figures import require_plots
    from layers.experiments.benchmark.cpu import CpuBenchmark
    from layers.experiments.benchmark.report import as_json_object, as_table, write_figure

    if figure is not None:
        require_plots(figure)
    measured = CpuBenchmark(corpus, repeats, threads, peer, cache_dir)
    chosen = chosen_figures(measured.figures(), only)
    if figure is not None and not {"length_exponent", "batch_exponent"} & chosen.keys():
        raise UserError(f"--figure {figure}: draws length_exponent and batch_exponent; name one of them in --only")
    with measured.limited_threads():
        measure_all(chosen)
        result = as_json_object(measured)
    click.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else as_table(measured))
    if figure is not None:
        write_figure(figure, measured)
        teller(as_json)(f"drawn: {figure}")


def benchmark_gpu(ctx, only, repeats, peer, as_json):
    """The command benchmark on a GPU, where some of its options have no meaning."""
    from layers.experiments.benchmark.gpu import GpuBenchmark
    from layers.experiments.benchmark.report import as_json_object, as_table

    given = given_options(ctx, lambda name: name in ("corpus", "threads", "figure", "cache_dir"))
    if given:
        raise UserError(
            f"--device {ctx.params['device']}: measures random texts on a GPU, so {', '.join(given)} cannot be given with it; leave it out"
        )
    measured = GpuBenchmark("cuda", repeats, peer)
    measure_all(chosen_figures(measured.figures(), only))
    click.echo(json.dumps(as_json_object(measured), indent=2, ensure_ascii=False) if as_json else as_table(measured))


def chosen_figures(steps, only):
    """{name: function} of the figures named in --only, or of all. UserError for one that does not exist."""
    chosen = names_in(only) if only else list(steps)
    for name in chosen:
        if name not in steps:
            raise UserError(f"--only {name}: is none of the figures {', '.join(steps)}")
    return {name: steps[name] for name in chosen}


def measure_all(chosen):
    for measure in tqdm(chosen.values(), desc="benchmark", unit="figure", leave=False, disable=None):
        measure()


@cli.command(short_help="Count and measure what models cost as texts get longer.")
@click.option(
    "--only",
    type=click.Choice(["growth", "savings", "reductions"]),
    metavar="[growth|savings]",
    help="One of the two.  [default: both]",
)
@click.option("--models", metavar="NAMES", default=",".join(COST_MODELS), show_default=True, help="Comma-separated.")
@click.option(
    "--lengths",
    metavar="NUMBERS",
    default=",".join(map(str, LENGTHS)),
    show_default=True,
    help="Of growth: tokens of a text.",
)
@click.option(
    "--texts",
    type=click.IntRange(1),
    metavar="N",
    default=TEXTS,
    show_default=True,
    help="Of the batch of the reductions.",
)
@click.option(
    "--length",
    type=click.IntRange(1, VOCABULARY),
    metavar="N",
    default=LENGTH,
    show_default=True,
    help="Of each of its texts, in tokens.",
)
@click.option(
    "--tokens",
    type=click.Choice(TOKENS),
    default=TOKENS[0],
    show_default=True,
    help="No token twice in a text, or as often as words.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="Of the reductions; the median counts.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Longer updates are counted, not measured.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="Of matrix products; 0: as many as they take.",
)
@click.option("--figure", type=click.Path(), metavar="FILE", help="Draw the growth as .svg or .png (extra plots).")
@device_option()
@json_option
def complexity(only, models, lengths, figure, as_json, **chosen):
    """Parameters, operations, memory and time of a training step: how they grow with the length of a text, and by how much a
    Wave Network needs less than a Transformer at one batch.

    Each model is measured in a process of its own. About nine minutes on two cores. Nothing else should run meanwhile.
    """
    from engine.report.figures import require_plots
    from layers.experiments.complexity.report import as_json_object, as_table, write_figure
    from layers.experiments.complexity.run import Complexity, checked_kinds

    kinds = checked_kinds(only, names_in(models), figure)
    if figure is not None:
        require_plots(figure)
    measured = Complexity(models=names_in(models), lengths=names_in(lengths), **chosen)
    with tqdm(
        total=sum(map(measured.count, kinds)), desc="complexity", unit="figure", leave=False, disable=None
    ) as bar:
        for kind in kinds:
            for done in measured.measure(kind):
                bar.set_postfix_str(done, refresh=False)
                bar.update()
    click.echo(json.dumps(as_json_object(measured), indent=2, ensure_ascii=False) if as_json else as_table(measured))
    if figure is not None:
        write_figure(figure, measured)
        teller(as_json)(f"drawn: {figure}")


@cli.command(short_help="List the corpora by name, and which are cached.")
@cache_option
@json_option
def corpora(cache_dir, as_json):
    """List the corpora by name: rows, classes, size of the download, whether it is cached, source and terms of use.

    Asks no network.
    """
    from engine.data.corpora import as_text, describe_corpora

    rows = describe_corpora(cache_dir)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else as_text(rows))


@cli.command(short_help="Show what this machine offers, and what to install.")
@json_option
@click.pass_context
def doctor(ctx, as_json):
    """Show versions, the CUDA device or why there is none, whether every kernel compiles, and what to install.

    Needs no GPU. Exit code 1 if a kernel is refused.
    """
    import engine
    import layers
    from engine.cuda.doctor import as_text, examine

    findings = examine([Path(package.__path__[0]) for package in (engine, layers)])
    click.echo(json.dumps(findings, indent=2, ensure_ascii=False) if as_json else as_text(findings))
    if findings["ok"] is False:
        ctx.exit(1)


def names_in(text):
    """The names of a comma-separated list."""
    return [name.strip() for name in text.split(",")]


def main(arguments=None):
    """Run the command line and return its exit code."""
    return exit_code_of(cli, train, sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())

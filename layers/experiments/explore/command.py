"""The command explore: a page on which a gradient can be seen to move."""

import click

from engine.commands.options import server_options


@click.command()
@click.argument("run_dir", required=False)
@server_options
def explore(run_dir: str | None, host: str, port: int, names: tuple[str, ...]) -> None:
    """Open a page that shows a text on its way through a small Wave Network and back, live (extra explore).

    Sliders move the values of its tokens; phasors, loss and every gradient follow, each beside its numerical value.
    Backward can be stepped through equation by equation, the network trained, and a gradient broken on purpose. With
    RUN_DIR the network is a trained one. The page loads nothing from elsewhere. Ctrl-C or SIGTERM ends it, with exit
    code 0, when all that has come in is answered, and Ctrl-C once more at once, with 130.
    """
    from engine.report.html import mathml_converter
    from engine.web.server import require_web, run

    require_web("explore")
    mathml_converter("explore", "explore")
    from layers.experiments.explore.app import make_application
    from layers.experiments.explore.source import RandomNetworks, Source, TrainedNetwork

    source: Source = RandomNetworks()
    if run_dir is not None:
        from engine.training.trained_run import open_run
        from layers.networks import CONFIGS, build_network

        source = TrainedNetwork(open_run(run_dir, CONFIGS, build_network), run_dir)
    run(make_application(source, names), host, port, "explore")

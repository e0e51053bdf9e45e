"""The command serve."""

from pathlib import Path

import click

from engine.commands.options import Project, device_option, number_option, server_options


def serve_command(project: Project) -> click.Command:
    """The command serve for the networks of a Project."""

    @click.command()
    @click.argument("run_dirs", nargs=-1, required=True, type=click.Path(), metavar="RUN_DIR...")
    @server_options
    @number_option("--max-texts", 1000, "Texts of a request at most.")
    @number_option("--max-bytes", 2**20, "Bytes of a request's body at most.")
    @number_option("--timeout", 30, "Seconds for a request at most.")
    @device_option()
    def serve(
        run_dirs: tuple[str, ...],
        host: str,
        port: int,
        names: tuple[str, ...],
        max_texts: int,
        max_bytes: int,
        timeout: int,
        device: str,
    ) -> None:
        """Label texts on request, over HTTP, with a trained run or the mean probabilities of several.

        \b
        POST /predict  {"texts": ["profits rose", ...]}
        GET  /         a page to try it
        GET  /health   what is served

        A prediction is {"label", "probability", "probabilities"}, of a run trained with --multi-label {"labels",
        "probabilities"}; an error is {"error"}. Texts that come together are computed together. Ctrl-C or SIGTERM
        ends it, with exit code 0, when all that has come in is answered, and Ctrl-C once more at once, with 130. Needs
        the extra explore.
        """
        from engine.arrays.backend import resolve_device
        from engine.training.run_directory import RunDirectory
        from engine.web.server import listen, require_web, run_on

        require_web("serve")
        for path in run_dirs:
            RunDirectory.open(path)
        listening = listen(host, port)

        from engine.serving.batcher import WAITING, Batcher
        from engine.serving.service import serving_application
        from engine.training.prediction import Predictor
        from engine.web.guard import Limits

        shown = [Path(path).resolve().name for path in run_dirs]
        with (
            listening,
            Predictor(run_dirs, project.configs, project.build_network, resolve_device(device)) as predictor,
            Batcher(predictor.probabilities, max(WAITING, max_texts)) as batcher,
        ):
            predictor.probabilities(["warm up"])  # reads the weights, so that the first request does not wait for them
            limits = Limits(max_bytes, timeout)
            app = serving_application(predictor, batcher, shown, max_texts, limits, names)
            run_on(app, listening, f"serving {', '.join(shown)}")

    return serve

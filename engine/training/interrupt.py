"""Ctrl-C, SIGTERM and a closed terminal between two steps instead of in the middle of one."""

import signal
from types import FrameType
from typing import Any

from engine.support.files import AnyPath

HANG_UP = getattr(signal, "SIGHUP", None)  # of a closed terminal; Windows has none
SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, HANG_UP) if number is not None]


class Interrupted(Exception):
    """Training was asked to stop and has saved its state. exit_code: 128 and the number of the signal."""

    def __init__(self, number: int, run_path: AnyPath = "") -> None:
        super().__init__(signal.Signals(number).name)
        self.run_path = run_path
        self.exit_code = 128 + number


class SignalWatch:
    """Within this context SIGNALS are noted in `.caught`; a second Ctrl-C interrupts at once.

    SIGHUP stays ignored where it was ignored before, as under nohup.
    """

    def __enter__(self) -> "SignalWatch":
        self.caught: int | None = None
        self.previous: dict[int, Any] = {}
        for number in SIGNALS:
            if number == HANG_UP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            try:
                self.previous[number] = signal.signal(number, self.note)
            except ValueError:  # not the main thread: whoever owns it deals with signals
                break
        return self

    def note(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

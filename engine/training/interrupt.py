"""Ctrl-C and SIGTERM between two steps instead of in the middle of one."""

import signal


class Interrupted(Exception):
    """Training was asked to stop and has saved its state. exit_code: 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, number, run_path=""):
        super().__init__(signal.Signals(number).name)
        self.run_path = run_path
        self.exit_code = 128 + number


class SignalWatch:
    """Within this context SIGINT and SIGTERM are noted in `.caught`; a second Ctrl-C interrupts at once."""

    def __enter__(self):
        self.caught = None
        self.previous = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.previous[number] = signal.signal(number, self.note)
            except ValueError:  # not the main thread: whoever owns it deals with signals
                break
        return self

    def note(self, number, frame):
        if self.caught is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = number

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

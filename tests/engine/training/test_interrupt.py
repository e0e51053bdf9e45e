"""Signals are noted, not obeyed at once; the second Ctrl-C is."""

import os
import signal
import threading

import pytest

from engine.training.interrupt import SIGNALS, Interrupted, SignalWatch

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")


@pytest.mark.parametrize("number, code", [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_has_the_exit_code_of_the_shell(number, code):
    with SignalWatch() as watch:
        assert watch.caught is None
        os.kill(os.getpid(), number)
        assert watch.caught == number
    error = Interrupted(watch.caught)
    assert error.exit_code == code and str(error) == signal.Signals(number).name


def test_the_second_ctrl_c_interrupts_at_once():
    """The second Ctrl-C interrupts at once and a second SIGTERM does not."""
    with SignalWatch() as watch:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert watch.caught == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_closed_terminal_is_ignored_where_it_was_before():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalWatch() as watch:
            signal.raise_signal(signal.SIGHUP)
            assert watch.caught is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_of_before_are_put_back_even_after_an_error():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError), SignalWatch():
        assert signal.getsignal(signal.SIGINT) != before[0]
        raise ValueError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_outside_the_main_thread_signals_are_left_to_others():
    seen = []

    def work():
        with SignalWatch() as watch:
            seen.append(watch.caught)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]

"""An interrupt waits for the end of a block, and is not lost."""

import os
import signal
import threading

import pytest

from veil.study.interrupts import interrupts_deferred


def test_interrupt_takes_effect_after_the_block():
    done = []

    def block():
        with interrupts_deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("first")
            done.append("last")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["first", "last"]


def test_handler_is_restored_also_after_an_error():
    def block():
        with interrupts_deferred():
            raise OSError

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(OSError):  # noqa: PT011
        block()
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_interrupts_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_deferred():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_run_the_block_as_it_is():
    ran = []

    def work():
        with interrupts_deferred():
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [True]

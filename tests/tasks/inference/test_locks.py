"""One forward pass at a time, fairly."""

import threading
import time

import torch

from tasks.inference.locks import FairLock, ForwardLock
from tests.helpers.backends import until
from tests.helpers.models import tiny_llama


def test_a_fair_lock_goes_to_whoever_has_waited_longest():
    lock, order = FairLock(), []
    lock.acquire()

    def take(i):
        lock.acquire()
        order.append(i)
        lock.release()

    threads = []
    for i in range(5):
        threads.append(threading.Thread(target=take, args=(i,)))
        threads[-1].start()
        until(lambda: len(lock._waiting) == i + 1)
    lock.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_passes_of_two_threads_never_overlap():
    model, inside, most = tiny_llama(), [], []
    lock = ForwardLock(model)

    def enter(*_):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.001)

    model.model.layers[0].register_forward_pre_hook(enter)
    model.model.layers[-1].register_forward_pre_hook(lambda *_: inside.clear())

    def passes(priority):
        for _ in range(10):
            if priority:
                with lock.priority():
                    model(torch.tensor([[1, 2]]))
            else:
                model(torch.tensor([[1, 2]]))

    threads = [threading.Thread(target=passes, args=(priority,)) for priority in (True, False, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) == 30

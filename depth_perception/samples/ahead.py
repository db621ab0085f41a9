"""Batches made while the last ones are learned from: by a thread, or by processes, since a GPU asks for more than one core can make."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.multiprocessing.reductions import shared_cache
from torch.utils.data import DataLoader, Dataset

from depth_perception.frame import BadInput

Batch = dict[str, Tensor]


def ahead(make: Callable[[int], Batch], start: int, *, depth: int = 3, loaders: int = 0, pin: bool = False) -> Generator[Batch, None, None]:
    """make(start), make(start + 1), ... for ever, the same whoever makes them. Close the generator to stop it.

    loaders: 0 is one thread, up to `depth` batches ahead; else so many processes, two batches ahead each. They are forked: what `make`
    holds is shared with them, not copied. pin: batches in page-locked memory, from which a GPU copies by itself.
    """
    return _by_processes(make, start, loaders, pin) if loaders else _by_thread(make, start, depth, pin)


def _by_thread(make: Callable[[int], Batch], start: int, depth: int, pin: bool) -> Generator[Batch, None, None]:
    ready: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()
    gpu = torch.cuda.current_device() if pin else None

    def work() -> None:
        if gpu is not None:
            torch.cuda.set_device(gpu)  # a thread begins with the first one
        step = start
        while not stop.is_set():
            try:
                made = make(step)
                item: object = {name: x.pin_memory() for name, x in made.items()} if pin else made
            except BaseException as error:  # handed to the caller, who raises it
                item = error
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return
            step += 1

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _by_processes(make: Callable[[int], Batch], start: int, loaders: int, pin: bool) -> Generator[Batch, None, None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # before the fork, which no thread survives
    try:
        batches = iter(DataLoader(_Steps(make), batch_size=None, sampler=count(start), num_workers=loaders, collate_fn=_as_it_is,
                                  pin_memory=pin, multiprocessing_context="fork",
                                  generator=torch.Generator()))  # its own, so that torch's is left as it was
    finally:
        cv2.setNumThreads(threads)
    try:
        while True:
            item = next(batches)
            if isinstance(item, BadInput):
                raise item
            yield item
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise BadInput(f"fit.loaders: one of {loaders} processes that make batches was killed; is memory short, or shared memory "
                       f"(/dev/shm)? Try fewer, or 0") from error
    finally:
        del batches  # and with it the processes
        shared_cache.clear()  # what is still in it when Python ends complains, a traceback for each batch


class _Steps(Dataset):
    """Item i is the batch of step i. Bad input is handed over as it is: the loader would wrap it in a traceback."""

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> Batch | BadInput:
        try:
            return self.make(step)
        except BadInput as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch

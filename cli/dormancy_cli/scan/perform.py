"""Scan one checkpoint: the work of one process."""

from __future__ import annotations

import json

from dormancy.text.jsonable import as_json
from dormancy_cli.scan import cache
from dormancy_cli.scan.tasks import Done, Task

__all__ = ["perform"]


def perform(task: Task) -> Done:
    """Scan the checkpoint, unless the cache has that scan. Raises what `scan_checkpoint` raises.

    The result goes through JSON in any case: whether it was measured now, before, or in another process makes no
    difference to what is printed of it.
    """
    if task.cache is None or (task.options.hints is not None and task.options.hints.model is not None):
        return Done(_scan(task))  # what the user's own code builds cannot be told from its name
    key = cache.key_of(task)
    if key is None:
        return Done(_scan(task))
    found = cache.read(task.cache, key)
    if found is not None:
        return Done(_where_it_is_now(found, task), remembered=True)
    text = _scan(task)
    if cache.is_of(text, key):
        cache.write(task.cache, key, text)
    return Done(text)


def _scan(task: Task) -> str:
    from dormancy.scanning.scanner import scan_checkpoint

    options = task.options
    found = scan_checkpoint(
        task.path,
        options.sample,
        options.taus,
        metrics=options.metrics,
        device=options.device,
        layers=options.layers,
        batch_size=options.batch_size,
        reference=task.first,
        previous=task.previous,
        hints=options.hints,
        answerable_only=task.in_run,
        activations=dict(options.activations),
    )
    return as_json(found.to_dict(), indent=None)


def _where_it_is_now(text: str, task: Task) -> str:
    """Name the files as they are called now: the same bytes may have been scanned under another name."""
    scan = json.loads(text)
    scan["checkpoint"]["path"] = str(task.path)
    scan["sample"]["path"] = str(cache.sample_of(task))
    for name, path in (("reference", task.first), ("previous", task.previous)):
        if scan.get(name) is not None:
            scan[name]["path"] = str(path)
    return as_json(scan, indent=None)

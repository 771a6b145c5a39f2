"""A service in place of Weights & Biases', whose package tests do without."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace


class Service:
    """Weights & Biases, as far as it is asked: keeps what it is told of each run, and refuses steps that go back."""

    class Error(Exception):
        """As wandb's."""

    def __init__(self):
        self.runs, self.begun, self.finished = {}, [], 0
        self.refuses, self.fails_at = None, None
        self.Settings = dict

    def init(self, *, id, **given):
        if self.refuses:
            raise self.Error(self.refuses)
        self.begun.append(given | {"id": id})
        rows = self.runs.setdefault(id, {})

        def log(row, step):
            if step == self.fails_at:
                raise BrokenPipeError("the service is gone")
            assert step >= max(rows, default=0)
            rows.setdefault(step, {}).update(row)

        def finish():
            self.finished += 1

        start = max(rows) + 1 if rows else 0
        return SimpleNamespace(
            log=log, finish=finish, starting_step=start, disabled=False, offline=False, url=f"https://service/{id}"
        )


def installed(monkeypatch):
    """The service, and a module `wandb` that talks to it."""
    service, module = Service(), ModuleType("wandb")
    module.__dict__.update(init=service.init, Settings=service.Settings, Error=service.Error)
    module.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return service

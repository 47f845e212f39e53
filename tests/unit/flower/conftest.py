"""Cohorts of sites on a grid in memory; see memory.py."""

import pytest


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    from flwr.supercore.task_identity import TaskIdentity

    from .memory import Cohort

    for name in ("_run_id", "_node_id", "_task_id"):  # as Flower sets them in a run's process
        monkeypatch.setattr(TaskIdentity, name, 1)

    def make(n=4, *, malicious=True, **more):
        return Cohort(tmp_path, n, malicious=malicious, **more)

    return make


@pytest.fixture(params=[True, False], ids=["malicious", "curious"])
def malicious(request):
    return request.param

"""How cores and memory are shared out to whole jobs, and which settings of that come first."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest

from job_work import Job, do
from sensetrack.errors import ConfigError
from sensetrack.workflow.jobs import Levels, Scheduling, here, levels, run_jobs
from sensetrack.workflow.limits import Share


def only(scheduling: Scheduling) -> dict:
    """Return what comes of one job."""
    with closing(run_jobs(do, [Job(0)], scheduling)) as found:
        ((_, result),) = found
    return result


def test_many_jobs_run_beside_each_other_and_few_share_the_cores():
    def shared(number, **scheduling):
        plan = levels(number, Scheduling(**scheduling))
        return plan.at_once, plan.share.workers

    assert shared(100, executor="processes", workers=8) == (8, 1)
    assert shared(3, executor="processes", workers=8) == (3, 2)
    assert shared(1, executor="dask", workers=8) == (1, 8)
    assert shared(100, executor="threads", workers=8, at_once=8) == (8, 1)
    assert shared(3, executor="threads", workers=8, at_once=8) == (3, 2)
    assert shared(1, executor="threads", workers=8) == (1, 8)
    assert shared(100, executor="threads", workers=8) == (1, 8)
    assert shared(24, executor="auto", workers=8) == (8, 1)
    assert shared(23, executor="auto", workers=8) == (1, 8)
    assert shared(100, executor="auto", workers=1) == (1, 1)


def test_memory_is_shared_out_and_fewer_jobs_run_where_it_is_short():
    def shared(number, **scheduling):
        return levels(number, Scheduling(workers=8, **scheduling))

    assert shared(100, executor="processes", max_memory="2GB") == Levels(4, Share(2, 500_000_000))
    assert shared(100, executor="dask", max_memory="40GB") == Levels(8, Share(1, 5_000_000_000))
    # Threads have their libraries in common.
    assert shared(100, at_once=8, max_memory="2GB") == Levels(8, Share(1, 565_000_000))
    assert shared(100, at_once=8, max_memory="1GB") == Levels(4, Share(2, 520_000_000))
    assert shared(100, max_memory="1GB") == Levels(1, Share(8, 1_000_000_000))
    assert Share(1, 565_000_000).beside_libraries == 205_000_000
    # Workers elsewhere know what they have.
    elsewhere = {"executor": "dask", "scheduler": "tcp://head:1", "max_memory": "2GB"}
    assert shared(1, **elsewhere).share == Share(1)
    assert here(Scheduling(workers=3, **elsewhere)) == Share(3, 2_000_000_000)


def test_a_worker_of_dask_tells_its_jobs_what_it_has():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        1, threads_per_worker=2, memory_limit="2GB", dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
    ) as cluster:
        elsewhere = only(Scheduling(executor="dask", scheduler=cluster.scheduler_address, max_memory="8GB"))
    assert (elsewhere["workers"], elsewhere["memory"]) == (2, 1_800_000_000)  # Dask ends it at 1900
    own = only(Scheduling(executor="dask", workers=3, max_memory="1GB"))
    assert (own["workers"], own["memory"]) == (3, 900_000_000)


def test_what_is_said_for_a_run_comes_before_what_the_study_says():
    block = Scheduling(executor="dask", hpc={"system": "pbs", "jobs": 4}, workers=3, tries=2)
    assert block.changed({"workers": None}) == block
    assert block.changed({"workers": 5}).hpc == block.hpc
    assert block.changed({"executor": "processes"}) == Scheduling(executor="processes", workers=3, tries=2)
    assert block.changed({"scheduler": "tcp://head:1"}).hpc is None
    assert Scheduling().changed({"scheduler": "local"}).executor == "dask"
    with pytest.raises(ConfigError, match="belong to the executor dask"):
        block.changed({"executor": "threads", "scheduler": "tcp://head:1"})

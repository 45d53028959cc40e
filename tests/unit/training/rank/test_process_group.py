"""Two ranks in processes of their own: what they exchange is exact, and nothing of it is unpickled."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from cxr_spark.training.rank.channel import new_key
from cxr_spark.training.rank.rendezvous import RendezvousServer

RANK = textwrap.dedent("""
    import json, os, pickle, sys
    import numpy as np, psutil, torch
    from torch.distributed import distributed_c10d
    from cxr_spark.training.rank.process import loopback_only
    from cxr_spark.training.rank.process_group import ProcessGroup
    from cxr_spark.training.rank.rendezvous import Rendezvous

    def refused(*_):
        raise AssertionError("something was unpickled")

    distributed_c10d._unpickler = pickle.loads = pickle.load = refused
    os.environ.update(loopback_only())
    start = json.loads(sys.stdin.read())
    rank = start.pop("rank")
    group = ProcessGroup(rank, 2, rank, Rendezvous(**start))
    group.connect(torch.device("cpu"), 60)
    module = torch.nn.Linear(3, 1)
    parallel = group.parallel(module)
    parallel(torch.full((1, 3), float(rank))).sum().backward()
    rows = np.full((3 if rank else 1, 2), rank + 0.1, np.float32)
    rows[0, 0] = np.nan
    listening = [c.laddr.ip for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    print(json.dumps({
        "numbers": group.gather_numbers([0.1 + rank, 1e300]),
        "rows": group.gather_rows(rows).tolist(),
        "sum": group.sum(torch.tensor(1.5)).item(),
        "gradient": module.weight.grad.flatten().tolist(),
        "listening": sorted(set(listening)),
    }))
    group.wait_for_all()
    del parallel, module
    group.disconnect()
    """)


@pytest.fixture
def server():
    made = RendezvousServer("127.0.0.1", new_key())
    yield made
    made.close()


def test_ranks_exchange_exact_values_and_unpickle_nothing(server):
    at = server.rendezvous
    ranks = []
    for rank in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", RANK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        process.stdin.write(json.dumps({"rank": rank, "host": at.host, "port": at.port, "key": at.key}))
        process.stdin.close()
        ranks.append(process)
    told = [json.loads(process.stdout.read()) for process in ranks]
    assert [process.wait(60) for process in ranks] == [0, 0]
    single = [0.1 + 0, 1e300], [0.1 + 1, 1e300]
    for found in told:
        assert found["numbers"] == list(single)
        rows = found["rows"]
        assert [row[1] for row in rows] == pytest.approx([0.1, 1.1, 1.1, 1.1])
        assert [row[0] != row[0] for row in rows] == [True, True, False, False]  # NaN stays NaN
        assert found["sum"] == 3.0
        assert found["gradient"] == [0.5, 0.5, 0.5]  # the mean of 0 and 1
        assert found["listening"] == ["127.0.0.1"]

"""What tests of several files of mixers use."""

import numpy as np
import pytest
from jax.sharding import Mesh

from lra_fnet.hardware import tracing_for


@pytest.fixture(params=["cpu", "gpu"])
def for_platform(request):
    """Have what is traced choose as for a platform, which may be absent here."""
    device = type("Device", (), {"platform": request.param, "process_index": 0})
    with tracing_for(Mesh(np.array([device()]), ("data",))):
        yield

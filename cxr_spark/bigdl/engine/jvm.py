"""Moves float vectors between Python and the JVM, and makes Scala's values from Python's.

Vectors are passed in a memory-mapped file: the driver's JVM runs on the same machine. Through py4j's socket, which
BigDL's own Python uses, the weights of a ResNet-50 take twenty seconds; in this way they take one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LITTLE = np.dtype("<f4")


class Bridge:
    """Moves values to and from the JVM of a session.

    Args:
        context: the SparkContext.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self.jvm = context._jvm

    def read(self, tensors: Sequence[Any]) -> NDArray[np.float32]:
        """Returns the values of BigDL tensors, one after the other, float32."""
        lengths = [int(tensor.nElement()) for tensor in tensors]
        with _file(sum(lengths)) as path, self._mapped(path, sum(lengths)) as buffer:
            for tensor, length in zip(tensors, lengths, strict=True):
                buffer.put(tensor.storage().array(), int(tensor.storageOffset()) - 1, length)
            return np.fromfile(path, _LITTLE).astype(np.float32, copy=False)

    def write(self, values: NDArray[np.float32], tensors: Sequence[Any]) -> None:
        """Copies values into BigDL tensors, one after the other.

        Args:
            values: float32 (N,), where N is the number of elements of all tensors.
            tensors: contiguous BigDL tensors.
        """
        with _file(0) as path:
            values.astype(_LITTLE, copy=False).tofile(path)
            with self._mapped(path, len(values)) as buffer:
                for tensor in tensors:
                    buffer.get(tensor.storage().array(), int(tensor.storageOffset()) - 1, int(tensor.nElement()))

    def tensor(self, values: NDArray[np.float32]) -> Any:
        """Returns a new BigDL tensor (N,) of the values."""
        made = self.jvm.com.intel.analytics.bigdl.dllib.utils.python.api.PythonBigDL.ofFloat()
        jtensor = self.jvm.com.intel.analytics.bigdl.dllib.utils.python.api.JTensor
        empty = self._context._gateway.new_array(self.jvm.float, len(values))
        shape = self._context._gateway.new_array(self.jvm.int, 1)
        shape[0] = len(values)
        tensor = made.toTensor(jtensor(empty, shape, "float", None))
        self.write(values, [tensor])
        return tensor

    def sequence(self, items: Sequence[Any]) -> Any:
        """Returns a Scala Seq."""
        items_list = self.jvm.java.util.ArrayList()
        for item in items:
            items_list.add(item)
        return self.jvm.PythonUtils.toSeq(items_list)

    @contextmanager
    def _mapped(self, path: Path, length: int) -> Iterator[Any]:
        file = self.jvm.java.io.RandomAccessFile(str(path), "rw")
        try:
            mode = self.jvm.java.nio.channels.FileChannel.MapMode.READ_WRITE
            bytes_ = file.getChannel().map(mode, 0, length * _LITTLE.itemsize)
            yield bytes_.order(self.jvm.java.nio.ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        finally:
            file.close()


@contextmanager
def _file(length: int) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="cxr-vector-") as file:
        file.truncate(length * _LITTLE.itemsize)
        yield Path(file.name)

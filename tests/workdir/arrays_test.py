"""Tests the names and the bytes of arrays in checkpoints."""

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy

from datadiet.workdir import arrays

DTYPES = ('bool', 'int8', 'int32', 'int64', 'uint8', 'uint16', 'uint32')
DTYPES += ('float16', 'float32', 'float64', 'bfloat16')


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('shape', [(), (0,), (3, 0, 2), (1,), (5, 3)])
def test_arrays_come_back_bit_by_bit(dtype, shape):
  generator = np.random.default_rng(0)
  array = (100 * generator.normal(size=shape)).astype(jnp.dtype(dtype))
  found = arrays.unpack(arrays.pack({'a/b': array, 'c': np.int32(7)}))
  assert list(found) == ['a/b', 'c'] or list(found) == ['c', 'a/b']
  assert found['a/b'].dtype == array.dtype
  assert found['a/b'].shape == shape
  assert found['a/b'].tobytes() == array.tobytes()
  assert found['c'] == 7 and found['c'].shape == ()


def test_values_that_are_no_numbers_keep_their_bits():
  bits = np.uint32([0x7FC00001, 0xFFC12345, 0x80000000, 0x7F800000])
  found = arrays.unpack(arrays.pack({'a': bits.view(np.float32)}))
  np.testing.assert_array_equal(found['a'].view(np.uint32), bits)


def test_arrays_may_lie_in_memory_in_any_way():
  array = np.arange(24, dtype=np.float32).reshape(4, 6)
  views = {
    'transposed': array.T,
    'strided': array[::2, 1::3],
    'backwards': array[::-1],
    'big endian': array.astype('>f4'),
    'broadcast': np.broadcast_to(np.float32([1, 2]), (3, 2)),
  }
  found = arrays.unpack(arrays.pack(views))
  for name, view in views.items():
    np.testing.assert_array_equal(found[name], view, err_msg=name)


def test_no_arrays_are_a_file_too():
  assert arrays.unpack(arrays.pack({})) == {}


def test_the_same_arrays_are_the_same_bytes():
  names = [f'layer_{number}' for number in range(20)]
  flat = {name: np.float32([1]) for name in names}
  assert arrays.pack(flat) == arrays.pack(dict(reversed(flat.items())))


def test_other_programs_open_it():
  flat = {'params/kernel': np.float32([[1, 2]]), 'step': np.int32(3)}
  content = arrays.pack(flat)
  for found in (
    safetensors.numpy.load(content),
    safetensors.flax.load(content),
  ):
    assert found.keys() == flat.keys()
    for name, array in flat.items():
      np.testing.assert_array_equal(found[name], array)

"""GPUs as their compiler has to be told of them: it need not see one."""

import dataclasses

_KIB, _MIB, _GIB = 2**10, 2**20, 2**30


@dataclasses.dataclass(frozen=True)
class Gpu:
  """One kind of GPU, by NVIDIA's data sheets and its guide to CUDA C++.

  Attributes:
    name: for people.
    capability: its compute capability.
    cores: streaming multiprocessors.
    lanes: float32 units of a core.
    shared_memory: bytes of a core.
    l2_cache: bytes.
    memory: bytes that CUDA reports; the name counts in powers of ten.
    bandwidth: bytes a second from its memory.
    hertz: cycles a second at most.
  """

  name: str
  capability: tuple[int, int]
  cores: int
  lanes: int
  shared_memory: int
  l2_cache: int
  memory: int
  bandwidth: float
  hertz: float

  def target_config(self) -> str:
    """The GPU as a `GpuTargetConfigProto` of XLA, in text.

    The versions are those of a machine with CUDA 12.9: the compiler leaves out
    what an older driver or cuDNN cannot run.
    """
    major, minor = self.capability
    # Hopper's matrix units have instructions that no later kind of GPU knows.
    features = 'feature_extension: ACCELERATED_FEATURES' if major == 9 else ''
    return f"""
      platform_name: "CUDA"
      device_description_str: "{self.name}"
      dnn_version_info {{ major: 9 minor: 10 }}
      runtime_version {{ major: 12 minor: 9 }}
      gpu_device_info {{
        name: "{self.name}"
        device_vendor: "NVIDIA Corporation"
        cuda_compute_capability {{ major: {major} minor: {minor} {features} }}
        driver_version: "12.9.0"
        runtime_version: "12.9.0"
        compile_time_toolkit_version: "12.9.0"
        dnn_version: "9.10.0"
        core_count: {self.cores}
        fpus_per_core: {self.lanes}
        clock_rate_ghz: {self.hertz / 1e9}
        device_memory_size: {self.memory}
        memory_bandwidth: {self.bandwidth:.0f}
        l2_cache_size: {self.l2_cache}
        shared_memory_per_core: {self.shared_memory}
        shared_memory_per_block: {48 * _KIB}
        shared_memory_per_block_optin: {self.shared_memory - _KIB}
        threads_per_warp: 32
        threads_per_core_limit: 2048
        threads_per_block_limit: 1024
        thread_dim_limit_x: 1024
        thread_dim_limit_y: 1024
        thread_dim_limit_z: 64
        block_dim_limit_x: {2**31 - 1}
        block_dim_limit_y: {2**16 - 1}
        block_dim_limit_z: {2**16 - 1}
        registers_per_core_limit: {2**16}
        registers_per_block_limit: {2**16}
        device_address_bits: 64
        ecc_enabled: true
      }}
    """


_HOPPER = Gpu(
  name='NVIDIA H100 SXM 80 GB',
  capability=(9, 0),
  cores=132,
  lanes=128,
  shared_memory=228 * _KIB,
  l2_cache=50 * _MIB,
  memory=79 * _GIB,
  bandwidth=3.35e12,
  hertz=1.98e9,
)
# Name on the command line -> the GPU.
GPUS: dict[str, Gpu] = {
  'h100': _HOPPER,
  'h200': dataclasses.replace(
    _HOPPER, name='NVIDIA H200 SXM', memory=139 * _GIB, bandwidth=4.8e12
  ),
  'a100': Gpu(
    name='NVIDIA A100 SXM 80 GB',
    capability=(8, 0),
    cores=108,
    lanes=64,
    shared_memory=164 * _KIB,
    l2_cache=40 * _MIB,
    memory=79 * _GIB,
    bandwidth=2.039e12,
    hertz=1.41e9,
  ),
}

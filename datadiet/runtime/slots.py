"""How many runs train at once on some devices."""

# What a step takes besides its images, in images a device. ResNet-18 on a v5e,
# by the estimate of its compiler: 6.0 M cycles with 128 images, 3.1 M with 32,
# sums over devices included.
_IMAGES_A_STEP = 70


def choose_slots(num_runs: int, num_devices: int, batch_size: int) -> int:
  """The number of runs to train at once; 0 if none up to num_runs fits.

  All runs are done soonest with it: waves times the time of a step on so many
  devices is least. It may be more than there are runs: ten runs on 64 devices
  are done sooner in one wave of four devices each, 24 of them idle, than in two
  waves of eight each.

  Args:
    num_runs: how many runs there are to train.
    num_devices: how many devices there are.
    batch_size: of one run; must divide over the devices of a slot.
  """
  fitting = [
    slots
    for slots in range(1, num_devices + 1)
    if num_devices % slots == 0 and batch_size % (num_devices // slots) == 0
  ]

  def time(slots: int) -> float:
    share = batch_size * slots / num_devices
    return -(-num_runs // slots) * (_IMAGES_A_STEP + share)

  if not any(slots <= num_runs for slots in fitting):
    return 0
  return min(fitting, key=lambda slots: (time(slots), slots))

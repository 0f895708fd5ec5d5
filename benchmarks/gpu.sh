#!/usr/bin/env bash
# Everything worth knowing of one GPU, unattended, within nine minutes.
#
#   benchmarks/gpu.sh [OPTION...]
#
#   --data=FILE   CIFAR-10, of benchmarks.pack (default: build/cifar10.npz)
#   --log=FILE    where everything printed goes, too (default: build/gpu.log)
#   --seconds=N   for all phases together (default: 520)
#   --only=REGEX  phases whose names match (train, score, trace, bench), such as
#                 those that were cut off for lack of time
#   --tiny        the same phases with little in each, to try them on a CPU
#
# Every phase has its own time limit, and the later ones no more than is left:
# one that hangs or fails costs no other. Needs no network and no TensorFlow:
# python3 (or $PYTHON) with jax, flax, optax, orbax-checkpoint, ml_collections,
# pillow and scipy. Exit code: how many phases failed or were cut off.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

data=build/cifar10.npz
log=build/gpu.log
seconds=520
only=.
tiny=''
for option in "$@"; do
  case "${option}" in
    --data=*) data="${option#*=}" ;;
    --log=*) log="${option#*=}" ;;
    --seconds=*) seconds="${option#*=}" ;;
    --only=*) only="${option#*=}" ;;
    --tiny) tiny=yes ;;
    *)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
      exit 2
      ;;
  esac
done
if [[ ! -f "${data}" ]]; then
  echo "${data} is not there; make it: python -m benchmarks.pack" >&2
  exit 2
fi

mkdir -p "$(dirname "${log}")"
exec > >(tee "${log}") 2>&1

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
python="${PYTHON:-python3}"
export PYTHONUNBUFFERED=1
failed=0

# phase NAME LIMIT COMMAND...: runs it for at most LIMIT seconds, and 10 more to
# save what it has.
phase() {
  local name="$1" limit="$2" left=$((seconds - SECONDS)) began="${SECONDS}"
  local code=0
  shift 2
  [[ "${name}" =~ ${only} ]] || return 0
  if ((limit > left)); then limit="${left}"; fi
  printf '\n## %s\n\n' "${name}"
  if ((limit < 5)); then
    echo 'left out: no time is left'
    failed=$((failed + 1))
    return
  fi
  timeout --kill-after=10 "${limit}" "$@" </dev/null || code=$?
  if ((code)); then failed=$((failed + 1)); fi
  echo "(${name}: $((SECONDS - began)) s of ${limit}, exit code ${code})"
}

settings=(
  --config=configs/resnet18_cifar10.py
  --config.dataset.name=packed
  --config.dataset.data_dir="${data}"
  --config.dataset.cache_dir="${work}/cache"
  --config.compilation_cache_dir="${work}/xla"
  --config.train.num_runs=1
  --config.train.num_epochs=20
  --config.train.schedule_steps=0
  --config.score.names='el2n,grand'
  # Trying which fits would compile five of them.
  --config.score.gradient_batch_size=256
)
bench=(--repeats=3)
trace=(--num_steps=20 --data="${data}" --cache_dir="${work}/cache"
  --compilation_cache_dir="${work}/xla")
if [[ "${tiny}" ]]; then
  settings+=(
    --config.model.name=simple_cnn
    --config.model.width=4
    --config.train.num_epochs=2
    --config.train.log_every_steps=5
    --config.select.fractions='(1.0,)'
  )
  bench=(--repeats=2 --quick)
  trace+=(--num_steps=5 --model=simple_cnn --width=4)
fi

# train TYPE BATCH LIMIT: one network for 20 epochs, by the program itself.
train() {
  phase "train: $1, batch $2" "$3" \
    "${python}" -m datadiet.main "${settings[@]}" --stages=train \
    --workdir="${work}/$1_$2" --config.model.dtype="$1" \
    --config.train.batch_size="$2"
}

# score TYPE LIMIT: all examples under the first of these networks.
score() {
  phase "score: $1" "$2" \
    "${python}" -m datadiet.main "${settings[@]}" --stages=score \
    --workdir="${work}/bfloat16_128" --config.model.dtype=bfloat16 \
    --config.train.batch_size=128 --config.score.dtype="$1"
  mkdir -p "${work}/$1"
  find "${work}" -path '*/run_00/step_*' \
    \( -name el2n.npy -o -name grand.npy \) -exec cp {} "${work}/$1" \;
}

# part TITLE LIMIT PART [FLAG...]: each by itself, as its table comes at its
# end. Others are of the host, or need TensorFlow or the report's libraries;
# memory is in the trace.
part() {
  phase "bench: $1" "$2" \
    "${python}" -m benchmarks.bench "${bench[@]}" --parts "${@:3}"
}

echo "# datadiet on one GPU, $(date -u '+%Y-%m-%d %H:%M') UTC," \
  "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
phase 'versions' 20 "${python}" -m benchmarks.versions
# What matters most first: up to the scores the limits add up to what there is.
part 'networks, bfloat16' 130 networks --dtypes bfloat16
part loop 110 loop
part score 60 score
train bfloat16 128 100
score float32 60
phase 'trace: bfloat16, batch 128' 60 \
  "${python}" -m benchmarks.trace "${trace[@]}"
part 'networks, float32' 130 networks --dtypes float32
train bfloat16 512 80
train float32 128 110
train float32 512 90
score tensorfloat32 40
phase 'score: float32 against tensorfloat32' 20 \
  "${python}" -m benchmarks.agreement "${work}"/{float32,tensorfloat32}
part checkpoint 60 checkpoint
printf '\n%s phases failed or were cut off, after %s s\n' \
  "${failed}" "${SECONDS}"
exit "${failed}"

#!/usr/bin/env bash
# Everything worth knowing of one GPU, unattended, within nine minutes.
#
#   benchmarks/gpu.sh [OPTION...]
#
#   --data=FILE   CIFAR-10, of benchmarks.pack (default: build/cifar10.npz)
#   --log=FILE    to which everything printed is added (default: build/gpu.log)
#   --work=DIR    workdirs and caches, kept, so that another call goes on with
#                 them (default: a temporary folder)
#   --seconds=N   for all phases together (default: 520)
#   --only=REGEX  phases whose names match (train, score, trace, bench), such as
#                 those that were cut off for lack of time
#   --tiny        the same phases with little in each, to try them on a CPU
#
# Every phase has its own time limit, and the later ones no more than is left:
# one that hangs or fails costs no other. Scores are of the first network that
# is trained. Needs no network and no TensorFlow: python3 (or $PYTHON) with jax,
# flax, optax, orbax-checkpoint, ml_collections, pillow and scipy; PyTorch to be
# compared with. Exit code: how many phases failed or were cut off.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

data=build/cifar10.npz
log=build/gpu.log
work=''
seconds=520
only=.
tiny=''
for option in "$@"; do
  case "${option}" in
    --data=*) data="${option#*=}" ;;
    --log=*) log="${option#*=}" ;;
    --work=*) work="${option#*=}" ;;
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
exec > >(tee -a "${log}") 2>&1
logger=$!

temporary=''
if [[ -z "${work}" ]]; then work="$(mktemp -d)" temporary="${work}"; fi
# The last lines are to be in the log when this ends.
# shellcheck disable=SC2329  # The trap calls it.
finish() {
  if [[ "${temporary}" ]]; then rm -rf "${temporary}"; fi
  exec >&- 2>&-
  for _ in {1..30}; do
    kill -0 "${logger}" 2>/dev/null || break
    sleep 0.1
  done
}
trap finish EXIT
python="${PYTHON:-python3}"
export PYTHONUNBUFFERED=1
# Programs, and which algorithms were fastest in them, serve all phases.
export JAX_COMPILATION_CACHE_DIR="${work}/xla"
failed=0

# phase NAME LIMIT COMMAND...: runs it for at most LIMIT seconds, and 10 more to
# save what it has; in the command, LIMIT stands for those seconds.
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
  timeout --kill-after=10 "${limit}" "${@//LIMIT/${limit}}" </dev/null ||
    code=$?
  if ((code)); then failed=$((failed + 1)); fi
  echo "(${name}: $((SECONDS - began)) s of ${limit}, exit code ${code})"
}

settings=(
  --config=configs/resnet18_cifar10.py
  --config.dataset.name=packed
  --config.dataset.data_dir="${data}"
  --config.dataset.cache_dir="${work}/cache"
  --config.compilation_cache_dir="${JAX_COMPILATION_CACHE_DIR}"
  --config.train.num_runs=1
  --config.train.num_epochs=20
  --config.train.schedule_steps=0
  --config.score.names='el2n,grand'
  # Trying which fits would compile five of them.
  --config.score.gradient_batch_size=256
)
bench=(--repeats=3)
trace=(--num_steps=20 --data="${data}" --cache_dir="${work}/cache"
  --compilation_cache_dir="${JAX_COMPILATION_CACHE_DIR}")
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
  phase "bench: $1" "$2" "${python}" -m benchmarks.bench "${bench[@]}" \
    --seconds=LIMIT --parts "${@:3}"
}

echo "# datadiet on one GPU, $(date -u '+%Y-%m-%d %H:%M') UTC," \
  "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
phase 'versions' 15 "${python}" -m benchmarks.versions
# What matters most first: up to the networks in bfloat16 the limits add up to
# what there is. A network compiles for half a minute and trains as long.
train bfloat16 128 130
score float32 85
phase 'trace: bfloat16, batch 128' 60 \
  "${python}" -m benchmarks.trace "${trace[@]}"
part loop 130 loop
part 'networks, bfloat16' 100 networks --dtypes bfloat16
part score 110 score
train bfloat16 512 100
part 'networks, float32' 150 networks --dtypes float32
train float32 128 130
train float32 512 110
score tensorfloat32 85
phase 'score: float32 against tensorfloat32' 20 \
  "${python}" -m benchmarks.agreement "${work}"/{float32,tensorfloat32}
part checkpoint 60 checkpoint
printf '\n%s phases failed or were cut off, after %s s\n' \
  "${failed}" "${SECONDS}"
exit "${failed}"

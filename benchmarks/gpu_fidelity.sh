#!/usr/bin/env bash
# The paper's numbers on CIFAR-10, in phases of nine minutes at most.
#
#   benchmarks/gpu_fidelity.sh [OPTION...] scores RUN...
#   benchmarks/gpu_fidelity.sh [OPTION...] means
#   benchmarks/gpu_fidelity.sh [OPTION...] retrain SUBSET SEED
#   benchmarks/gpu_fidelity.sh [OPTION...] status
#
#   scores    trains and scores the networks 0 to 9, as many as the time allows
#   means     averages the scores that are there
#   retrain   78,000 steps on SUBSET: full, or half by el2n or random;
#             SEED 0, 1, ...
#   status    what there is, against what is expected, and what is missing
#
#   --data=FILE     CIFAR-10, of benchmarks.pack (default: build/cifar10.npz)
#   --folder=DIR    what phases hand on to each other (default: build/fidelity)
#   --work=DIR      workdirs, which need not be kept (default: build/work); a
#                   phase that was cut off goes on with what is there
#   --seconds=N     (default: 520)
#   --tiny          little of everything, to try it on a CPU
#
# Exit code: 0 done, 75 cut off by the time limit, others failed.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

data=build/cifar10.npz
folder=build/fidelity
work=build/work
seconds=520
tiny=''
while (($#)); do
  case "$1" in
    --data=*) data="${1#*=}" ;;
    --folder=*) folder="${1#*=}" ;;
    --work=*) work="${1#*=}" ;;
    --seconds=*) seconds="${1#*=}" ;;
    --tiny) tiny=yes ;;
    *) break ;;
  esac
  shift
done

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

python="${PYTHON:-python3}"
export PYTHONUNBUFFERED=1
steps=78000
settings=(
  --config=configs/resnet18_cifar10.py
  --config.dataset.name=packed
  --config.dataset.data_dir="${data}"
  --config.dataset.cache_dir="${work}/cache"
  --config.compilation_cache_dir="${work}/xla"
  --config.train.num_runs=1
  --config.score.names='el2n,grand'
  # Trying which fits would compile five of them, for every network.
  --config.score.gradient_batch_size=256
)
if [[ "${tiny}" ]]; then
  steps=20
  settings+=(
    --config.model.name=simple_cnn
    --config.model.width=4
    --config.train.batch_size=64
    --config.train.num_steps=10
    --config.train.schedule_steps=20
    --config.train.log_every_steps=5
  )
fi

# train WORKDIR SEED SETTING...: one network, for as long as there is time.
train() {
  local workdir="$1" seed="$2"
  shift 2
  local left=$((seconds - SECONDS))
  # To timeout, 0 is no limit.
  if ((left < 1)); then exit 75; fi
  timeout --kill-after=20 "${left}" \
    "${python}" -m datadiet.main "${settings[@]}" --workdir="${workdir}" \
    --config.train.model_seed="${seed}" --config.train.data_seed="${seed}" "$@"
}

files() {
  "${python}" -m benchmarks.fidelity "$@"
}

scores() {
  local run number began longest=0
  for run in "$@"; do
    number="$(printf '%02d' "${run}")"
    if [[ -e "${folder}/scores/run_${number}.npz" ]]; then continue; fi
    began="${SECONDS}"
    if ((SECONDS + longest > seconds)); then
      echo "run ${run} and later ones are left: no time for one more"
      exit 75
    fi
    train "${work}/run_${number}" "${run}" --stages=train,score
    files collect "${work}/run_${number}" "${folder}/scores/run_${number}.npz"
    if ((SECONDS - began > longest)); then longest=$((SECONDS - began)); fi
    echo "run ${run}: $((SECONDS - began)) s"
  done
}

retrain() {
  local subset="$1" seed="$2" name="$1_$2" chosen=()
  # Half of the data is chosen once, and kept for when the phase goes on.
  if [[ "${subset}" != full ]]; then
    local index="${work}/${name}_index.npy"
    if [[ ! -e "${index}" ]]; then
      files subset "${folder}" "${data}" "${subset}" "${seed}" "${index}"
    fi
    chosen=(--config.train.subset_path="${index}")
  fi
  # Seeds of no network that was scored.
  train "${work}/${name}" "$((1000 + seed))" --stages=train \
    --config.train.num_steps="${steps}" "${chosen[@]}"
  files result "${work}/${name}" "${folder}/retrain/${name}.json"
}

# Ends as `timeout` does when time is up: 124 becomes 75.
finish() {
  local code=$?
  if ((code == 124 || code == 137)); then code=75; fi
  exit "${code}"
}
trap finish EXIT

case "${1:-}" in
  scores) (($# > 1)) || usage ;;
  retrain) [[ $# == 3 && "$2" =~ ^(full|el2n|random)$ ]] || usage ;;
  means | status) (($# == 1)) || usage ;;
  *) usage ;;
esac
case "$1" in
  scores | retrain)
    "$@"
    files status "${folder}"
    ;;
  *) files "$1" "${folder}" ;;
esac

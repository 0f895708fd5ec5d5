#!/usr/bin/env bash
# Runs an experiment on a Cloud TPU VM, or a slice of several, until it is
# done.
#
#   launch/tpu_vm.sh --zone=us-west4-a --accelerator_type=v5litepod-8 --spot \
#     -- --config=configs/resnet18_cifar10.py --workdir=gs://BUCKET/DIR
#
# Creates the TPU, installs this repository on all its workers, starts
# datadiet.main with what follows --, streams the output, and starts it again
# when the TPU was taken away. At the end, also after an error or Ctrl-C, the
# TPU is deleted.
#
#   --zone=ZONE                where the TPU is
#   --accelerator_type=TYPE    such as v5litepod-8, v6e-8, v4-32
#   --name=NAME                of the TPU (default: datadiet)
#   --project=PROJECT          (default: the one that gcloud is set to)
#   --spot                     cheaper, can be taken away; workdir on gs://
#   --queued                   by a queued resource, which waits for its turn
#   --runtime_version=VERSION  (default: the one for JAX on this type)
#   --wait_hours=HOURS         how long to wait for a free TPU (default: 24)
#   --attach                   use the TPU that an earlier call left
#   --copy_to=DIR              for a workdir that is not on gs:// (results)
#   --dry_run                  print the commands and do nothing
#   --help                     this text
#
# Needs gcloud, logged in; for several workers, the key in the ssh agent:
# ssh-add ~/.ssh/google_compute_engine. Exit codes: 0 done, 1 failed, 2 a wrong
# setting, 129, 130 and 143 interrupted.

directory="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source-path=SCRIPTDIR source=supervise.sh
source "${directory}/supervise.sh"

readonly READY_STATE=READY
# Google Cloud's default network lets the hosts of a slice talk to each other by
# this port, and not by the one that JAX would take.
readonly COORDINATOR_PORT=8476

zone=''
accelerator_type=''
runtime_version=''
queued=false
flags=(--quiet)    # Of every command.
spot_flags=()

parse_options() {
  while (($#)); do
    case "$1" in
      --zone=*) zone="${1#*=}" ;;
      --accelerator_type=*) accelerator_type="${1#*=}" ;;
      --name=*) name="${1#*=}" ;;
      --project=*) flags+=("$1") ;;
      --spot) spot_flags=(--spot) ;;
      --queued) queued=true ;;
      --runtime_version=*) runtime_version="${1#*=}" ;;
      --) break ;;
      *) parse_common_option "$1" || usage_error "$1 is not an option." ;;
    esac
    shift
  done
  [[ -n "${zone}" ]] || usage_error '--zone is missing.'
  [[ -n "${accelerator_type}" ]] || usage_error '--accelerator_type is missing.'
  parse_program "${@:2}"
  ((${#spot_flags[@]} == 0)) || require_remote_workdir --spot
  flags+=(--zone="${zone}")
  [[ -n "${runtime_version}" ]] || runtime_version="$(default_runtime_version)"
}

# https://cloud.google.com/tpu/docs/runtimes
default_runtime_version() {
  case "${accelerator_type}" in
    v6e-*) echo v2-alpha-tpuv6e ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    *) echo tpu-ubuntu2204-base ;;
  esac
}

create_machine() {
  if [[ "${queued}" == true ]]; then
    run_create gcloud compute tpus queued-resources create "${name}" \
      --node-id="${name}" --accelerator-type="${accelerator_type}" \
      --runtime-version="${runtime_version}" \
      "${spot_flags[@]}" "${flags[@]}" && wait_in_queue
  else
    run_create gcloud compute tpus tpu-vm create "${name}" \
      --accelerator-type="${accelerator_type}" \
      --version="${runtime_version}" "${spot_flags[@]}" "${flags[@]}"
  fi
}

# Waits until the queued resource is there; fails if it will never be.
wait_in_queue() {
  local state
  [[ "${dry_run}" == false ]] || return 0
  while true; do
    state="$(ask describe_request)"
    case "${state}" in
      ACTIVE) return 0 ;;
      FAILED | SUSPENDED | DELETING | gone)
        say "The queued resource is ${state}:"
        run gcloud compute tpus queued-resources describe "${name}" \
          "${flags[@]}" >&2 || true
        # A spot TPU that is lost again before it was seen.
        [[ "${state}" != SUSPENDED || "${#spot_flags[@]}" == 0 ]] ||
          taken_away=true
        return 1
        ;;
    esac
    say "The queued resource is ${state:-unknown}."
    wait_for_capacity 1
  done
}

describe_machine() {
  gcloud compute tpus tpu-vm describe "${name}" --format='value(state)' \
    "${flags[@]}"
}

describe_request() {
  if [[ "${queued}" == true ]]; then
    gcloud compute tpus queued-resources describe "${name}" \
      --format='value(state.state)' "${flags[@]}"
  else
    describe_machine
  fi
}

delete_machine() {
  if [[ "${queued}" == true ]]; then
    run gcloud compute tpus queued-resources delete "${name}" --force \
      "${flags[@]}"
  else
    run gcloud compute tpus tpu-vm delete "${name}" "${flags[@]}"
  fi
}

# Runs a command on the workers named by $1: 'all' or a number. Of several,
# gcloud gives the first code that is not 0: 255 where a worker is not reached.
on_workers() {
  run gcloud compute tpus tpu-vm ssh "${name}" --worker="$1" --command="$2" \
    "${SSH_FLAG}" "${flags[@]}"
}

# The machines come with an older Python than datadiet needs; uv brings one.
install_program() {
  local source="${scratch}/datadiet.tgz"
  run tar --create --gzip --file="${source}" --directory="${directory}/.." \
    --exclude=__pycache__ LICENSE configs constraints.txt datadiet launch \
    README.md pyproject.toml &&
    run gcloud compute tpus tpu-vm scp "${source}" "${name}:datadiet.tgz" \
      --worker=all "${flags[@]}" &&
    on_workers all 'set -e
mkdir -p datadiet
tar -xzf datadiet.tgz -C datadiet
cd datadiet
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv
python3 -m uv venv --quiet --clear --python 3.12
python3 -m uv pip install --quiet \
  -c constraints.txt -e ".[tpu,gcs,photographs,report,tfds]"'
}

start_program() {
  on_workers all "cd datadiet && JAX_COORDINATOR_PORT=${COORDINATOR_PORT} \
bash launch/detached.sh start \
$(print_command .venv/bin/python -m datadiet.main "${program[@]}")"
}

follow_program() {
  on_workers all 'cd datadiet && bash launch/detached.sh follow'
}

list_results() {
  if [[ "${workdir}" == gs://* ]]; then
    run gcloud storage ls "${workdir%/}/**"
  else
    on_workers 0 "cd datadiet && find ${workdir@Q} -type f"
  fi
}

copy_results() {
  local source="${workdir}"
  [[ "${source}" == /* ]] || source="datadiet/${source}"
  run gcloud compute tpus tpu-vm scp "${name}:${source}" "${copy_to}" \
    --recurse --worker=0 "${flags[@]}"
}

parse_options "$@"
supervise

#!/usr/bin/env bash
# Runs an experiment on a Google Cloud VM with GPUs, until it is done.
#
#   launch/gpu_vm.sh --zone=us-central1-a --image=REGISTRY/datadiet:cuda \
#     --spot -- --config=configs/resnet18_cifar10.py --workdir=gs://BUCKET/DIR
#
# Creates the VM, runs the image in docker with what follows --, streams its
# output, and starts it again when the VM was taken away. At the end, also after
# an error or Ctrl-C, the VM is deleted. The image is the Dockerfile's:
#
#   docker build --build-arg ACCELERATOR=cuda -t REGISTRY/datadiet:cuda .
#   docker push REGISTRY/datadiet:cuda
#
#   --zone=ZONE                where the VM is
#   --image=IMAGE              what to run; see above
#   --machine_type=TYPE        with its GPUs (default: g2-standard-8, one L4)
#   --accelerator=type=T,count=N   for machine types that come without GPUs
#   --name=NAME                of the VM (default: datadiet)
#   --project=PROJECT          (default: the one that gcloud is set to)
#   --spot                     cheaper, can be taken away; workdir on gs://
#   --disk_size=SIZE           (default: 100GB)
#   --vm_image_family=FAMILY   of the VM, with driver and docker
#   --wait_hours=HOURS         how long to wait for a free VM (default: 24)
#   --attach                   use the VM that an earlier call left
#   --copy_to=DIR              for a workdir below /workdirs (results)
#   --dry_run                  print the commands and do nothing
#   --help                     this text
#
# Needs gcloud, logged in. Exit codes: 0 done, 1 failed, 2 a wrong setting, 129,
# 130 and 143 interrupted.

directory="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source-path=SCRIPTDIR source=supervise.sh
source "${directory}/supervise.sh"

# shellcheck disable=SC2034  # supervise.sh reads it.
readonly READY_STATE=RUNNING

zone=''
image=''
machine_type=g2-standard-8
disk_size=100GB
vm_image_family=common-cu129-ubuntu-2204-nvidia-580
accelerator_flags=()
spot_flags=()
flags=(--quiet)    # Of every command.

parse_options() {
  while (($#)); do
    case "$1" in
      --zone=*) zone="${1#*=}" ;;
      --image=*) image="${1#*=}" ;;
      --machine_type=*) machine_type="${1#*=}" ;;
      --accelerator=*) accelerator_flags=("$1") ;;
      --name=*) name="${1#*=}" ;;
      --project=*) flags+=("$1") ;;
      # Deleted by the cloud, so that nothing is left if this machine dies too.
      --spot)
        spot_flags=(--provisioning-model=SPOT
          --instance-termination-action=DELETE)
        ;;
      --disk_size=*) disk_size="${1#*=}" ;;
      --vm_image_family=*) vm_image_family="${1#*=}" ;;
      --) break ;;
      *) parse_common_option "$1" || usage_error "$1 is not an option." ;;
    esac
    shift
  done
  [[ -n "${zone}" ]] || usage_error '--zone is missing.'
  [[ -n "${image}" ]] || usage_error '--image is missing.'
  parse_program "${@:2}"
  ((${#spot_flags[@]} == 0)) || require_remote_workdir --spot
  [[ "${workdir}" == gs://* || "${workdir}" == /workdirs/* ]] ||
    usage_error "--workdir is on gs:// or below /workdirs, not ${workdir}."
  flags+=(--zone="${zone}")
}

create_machine() {
  run_create gcloud compute instances create "${name}" \
    --machine-type="${machine_type}" "${accelerator_flags[@]}" \
    --maintenance-policy=TERMINATE "${spot_flags[@]}" \
    --image-family="${vm_image_family}" \
    --image-project=deeplearning-platform-release \
    --boot-disk-size="${disk_size}" --scopes=cloud-platform "${flags[@]}"
}

describe_machine() {
  gcloud compute instances describe "${name}" --format='value(status)' \
    "${flags[@]}"
}

describe_request() { describe_machine; }

delete_machine() {
  run gcloud compute instances delete "${name}" "${flags[@]}"
}

on_machine() {
  run gcloud compute ssh "${name}" --command="$1" "${SSH_FLAG}" "${flags[@]}"
}

# A new VM takes a minute until it answers.
wait_for_ssh() {
  local tries
  for ((tries = 0; tries < 20; tries++)); do
    if on_machine true; then
      return 0
    fi
    run sleep 15
  done
  say 'The machine does not answer to ssh.'
  return 1
}

# Google's registries want to know who asks.
install_program() {
  local log_in=''
  case "${image%%/*}" in
    *-docker.pkg.dev | gcr.io | *.gcr.io)
      log_in="sudo gcloud auth configure-docker ${image%%/*} --quiet && "
      ;;
  esac
  wait_for_ssh &&
    on_machine "${log_in}sudo docker pull --quiet $(print_command "${image}") &&
sudo install --directory --owner=1000 --group=1000 /workdirs"
}

# The container gets 25 of the 30 seconds that a spot VM has to the end.
start_program() {
  on_machine "sudo docker rm --force datadiet >/dev/null 2>&1
$(print_command sudo docker run --detach --name=datadiet --gpus=all \
    --network=host --stop-timeout=25 --volume=/workdirs:/workdirs \
    "${image}" "${program[@]}")"
}

# shellcheck disable=SC2016  # The machine's shell runs it.
follow_program() {
  on_machine 'sudo docker logs --follow datadiet 2>&1
exit "$(sudo docker wait datadiet || echo 137)"'
}

list_results() {
  if [[ "${workdir}" == gs://* ]]; then
    run gcloud storage ls "${workdir%/}/**"
  else
    on_machine "find ${workdir@Q} -type f"
  fi
}

copy_results() {
  run gcloud compute scp "${name}:${workdir}" "${copy_to}" --recurse \
    "${flags[@]}"
}

parse_options "$@"
supervise

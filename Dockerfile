# docker build --build-arg ACCELERATOR=cuda -t datadiet .
# docker run datadiet                        the demo, in /workdirs/digits
# docker run --gpus all -v DIR:/workdirs datadiet --config=configs/... \
#   --workdir=/workdirs/...                  an experiment, its results in DIR
# DIR has to be writable by user 1000, as whom the container runs.

ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim

# cpu, cuda (JAX brings the CUDA libraries, the host the driver) or tpu.
ARG ACCELERATOR=cpu

RUN useradd --create-home --uid 1000 datadiet \
  && install --directory --owner=datadiet --group=datadiet /workdirs

ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
  PIP_DISABLE_PIP_VERSION_CHECK=1 \
  PIP_NO_CACHE_DIR=1 \
  PIP_ROOT_USER_ACTION=ignore \
  PYTHONUNBUFFERED=1

WORKDIR /datadiet

# The dependencies, in a layer that a change of the code leaves alone. The
# package is installed as editable: its code arrives in the next layer.
COPY LICENSE README.md constraints.txt pyproject.toml ./
COPY datadiet/__init__.py datadiet/
RUN case "${ACCELERATOR}" in \
    cpu) package=".[gcs,photographs,report,s3,tfds]" ;; \
    cuda | tpu) package=".[${ACCELERATOR},gcs,photographs,report,s3,tfds]" ;; \
    *) echo "ACCELERATOR is cpu, cuda or tpu, not ${ACCELERATOR}." >&2; \
      exit 1 ;; \
  esac \
  && pip install --quiet --constraint constraints.txt --editable "${package}"

COPY configs configs/
COPY datadiet datadiet/

# By number: Kubernetes cannot tell whether a name is root.
USER 1000

# Python is the container's first process, so that the SIGTERM of a machine that
# is taken away reaches it.
ENTRYPOINT ["python", "-m", "datadiet.main"]
CMD ["--config=configs/cnn_digits.py", "--workdir=/workdirs/digits"]

# docker build -t bertinchamps .
# docker run --rm --network none -v "$PWD/work:/data" bertinchamps pretrain data=files 'data.files=[notes]' arch=small +budget=10m
#
# An image for processors. The directory of the mount must be writable by user 1000; cache, runs and models are written there.
FROM python:3.11-slim

WORKDIR /opt/bertinchamps
COPY constraints.txt pyproject.toml README.md LICENSE ./
# First, because it changes least: PyTorch's build for processors, in the version of constraints.txt.
RUN pip install --no-cache-dir --constraint constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' constraints.txt)+cpu"
COPY configs configs
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt '.[adapters,deidentification,tuning]' \
    && rm -rf /opt/bertinchamps/*

RUN useradd --uid 1000 --create-home user
USER user
WORKDIR /data
# Nothing is asked of the Hub unless `docker run -e HF_HUB_OFFLINE=0` allows it. No compiler is here, so kernels are PyTorch's own.
ENV BERTINCHAMPS_CACHE=/data/cache HF_HUB_OFFLINE=1
ENTRYPOINT ["bertinchamps"]
CMD ["--help"]

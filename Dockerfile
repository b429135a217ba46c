# With CUDA:  docker build -t bakeoff-gpu .
#             docker run --rm --gpus all -v "$PWD:/studies" bakeoff-gpu run study.yaml
# On a CPU:   docker build -t bakeoff --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
#             docker run --rm -v "$PWD/runs:/studies/runs" bakeoff
# With extras (serve, quantization, ray, s3, all, ...):  --build-arg EXTRAS=serve,quantization
FROM python:3.12-slim
ARG TORCH_INDEX=
ARG EXTRAS=
# Triton, which compiles a GPU's kernels, builds its launchers with a C compiler when it runs.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/bakeoff
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# PyTorch first, from the index that was named, at the version that the tests ran with.
RUN grep '^torch==' constraints.txt > torch.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt \
    && pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" \
    && rm -rf torch.txt
RUN useradd --create-home bakeoff && mkdir /studies && chown bakeoff /studies
USER bakeoff
WORKDIR /studies
ENTRYPOINT ["bakeoff"]
CMD ["run"]

# bakeoff on a CPU:  docker build -t bakeoff .  &&  docker run --rm -v "$PWD/runs:/work/runs" bakeoff
# With CUDA:         docker build -t bakeoff-gpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#                    docker run --rm --gpus all -v "$PWD:/work" bakeoff-gpu run study.yaml
FROM python:3.12-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /opt/bakeoff
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# PyTorch first, from the index of the device, at the version that the tests ran with.
RUN grep '^torch==' constraints.txt > torch.txt \
    && pip install --no-cache-dir --index-url "$TORCH_INDEX" -r torch.txt \
    && pip install --no-cache-dir -c constraints.txt . \
    && rm -rf torch.txt
RUN useradd --create-home bakeoff && mkdir /work && chown bakeoff /work
USER bakeoff
WORKDIR /work
ENTRYPOINT ["bakeoff"]
CMD ["run"]

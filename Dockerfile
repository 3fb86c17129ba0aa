# The image of controller and speaker: a Debian base with nft, ip and conntrack, the Node runtime and the bundle.
# `make build` must have filled dist/ before; `make image` does both.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim
FROM ${BASE_IMAGE}

RUN if ! (command -v nft && command -v ip && command -v conntrack) >/dev/null; then \
      apt-get update && \
      apt-get install -y --no-install-recommends nftables iproute2 conntrack && \
      rm -rf /var/lib/apt/lists/*; \
    fi

COPY dist/node /usr/local/bin/node
COPY dist/*.mjs dist/raw-socket.node /opt/ovenbird/
COPY deploy/ovenbird /usr/local/bin/ovenbird

ENV UV_THREADPOOL_SIZE=2
ENTRYPOINT ["/usr/local/bin/ovenbird"]

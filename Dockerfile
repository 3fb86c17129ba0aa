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

# Small young generation and one V8 helper thread: resident memory on every node matters more than peak throughput.
ENV UV_THREADPOOL_SIZE=2
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=2", "--v8-pool-size=1", "/opt/ovenbird/ovenbird.mjs"]

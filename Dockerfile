# Builds every program of the product in one stage: docker build --target NAME .
# BuildKit is not required. Base images are build arguments, so that locally built ones
# can be used if no registry can be reached.
ARG GO_IMAGE=golang:1.26-bookworm
ARG CLIENTS_IMAGE=debian:trixie-slim

# The stage runs on the builder's platform and cross-compiles. The legacy builder sets
# neither variable and builds for its own platform.
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${GO_IMAGE} AS build
LABEL dev.nova.stage=build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETARCH
ARG VERSION
ARG COMMIT
RUN CGO_ENABLED=0 GOARCH=${TARGETARCH} GOFLAGS=-buildvcs=false go build -trimpath -tags grpcnotrace -o /out/ \
    -ldflags "-s -w \
      -X github.com/nova/novawire/internal/version.Version=${VERSION} \
      -X github.com/nova/novawire/internal/version.Commit=${COMMIT}" \
    ./cmd/...
# The Fluent Bit plugin is a C shared library; another platform needs its C compiler.
RUN case "${TARGETARCH:-$(go env GOARCH)}" in \
      "$(go env GOHOSTARCH)") ;; \
      arm64) apt-get update && apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross && export CC=aarch64-linux-gnu-gcc ;; \
      amd64) apt-get update && apt-get install -y --no-install-recommends gcc-x86-64-linux-gnu libc6-dev-amd64-cross && export CC=x86_64-linux-gnu-gcc ;; \
    esac && \
    CGO_ENABLED=1 GOARCH=${TARGETARCH} GOFLAGS=-buildvcs=false go build -trimpath -tags netgo,osusergo -buildmode=c-shared -o /out/out_novawire.so \
    -ldflags "-s -w \
      -X github.com/nova/novawire/internal/version.Version=${VERSION} \
      -X github.com/nova/novawire/internal/version.Commit=${COMMIT}" \
    ./cmd/novawire-fluentbit

# A static program needs only the list of certificate authorities and a non-root user.
FROM scratch AS static
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532

FROM static AS novawire
COPY --from=build /out/novawire-manager /novawire-manager
ENTRYPOINT ["/novawire-manager"]

# The command line, for Jobs: the smoke test, an audit.
FROM static AS novawire-cli
COPY --from=build /out/novawire /novawire
ENTRYPOINT ["/novawire"]

FROM static AS novawire-sidecar
COPY --from=build /out/novawire-sidecar /novawire-sidecar
ENTRYPOINT ["/novawire-sidecar"]

# `novawire-fluentbit install` copies the plugin into a volume for Fluent Bit's image.
FROM static AS novawire-fluentbit
COPY --from=build /out/novawire-fluentbit /out/out_novawire.so /
ENTRYPOINT ["/novawire-fluentbit"]

# Runs by itself, with PostgreSQL's clients. `pg-backup install` copies the program into
# a volume for images that have their own clients.
FROM ${CLIENTS_IMAGE} AS pg-backup
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates postgresql-client && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /out/pg-backup /usr/local/bin/pg-backup
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pg-backup"]

# Every program of the product, built in one stage: docker build --target NAME .
# Nothing here needs BuildKit. Base images come by build argument, so that ones
# made on the spot serve where no registry is reached.
ARG GO_IMAGE=golang:1.26-bookworm
ARG CLIENTS_IMAGE=debian:trixie-slim

# The stage runs on the builder's own platform and cross-compiles. The legacy
# builder sets neither variable: it builds for the machine it is on.
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
# The Fluent Bit plugin is a library that C loads: another platform's needs its compiler.
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

# What a static program needs of a system: authorities to trust, and not to be root.
FROM scratch AS static
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532

FROM static AS novawire
COPY --from=build /out/novawire /novawire
ENTRYPOINT ["/novawire"]

FROM static AS novawire-sidecar
COPY --from=build /out/novawire-sidecar /novawire-sidecar
ENTRYPOINT ["/novawire-sidecar"]

# Carries the plugin to an image of Fluent Bit: novawire-fluentbit install.
FROM static AS novawire-fluentbit
COPY --from=build /out/novawire-fluentbit /out/out_novawire.so /
ENTRYPOINT ["/novawire-fluentbit"]

# Runs alone, with PostgreSQL's clients, and carries the program to images that
# have their own: pg-backup install.
FROM ${CLIENTS_IMAGE} AS pg-backup
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates postgresql-client && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /out/pg-backup /usr/local/bin/pg-backup
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pg-backup"]

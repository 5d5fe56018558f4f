# Builds every program of the product in one stage: docker build --target NAME .
# The stages at the end build the Rust services of the examples.
# BuildKit is not required. Base images are build arguments, so that locally built ones
# can be used if no registry can be reached.
ARG GO_IMAGE=golang:1.26-bookworm
ARG CLIENTS_IMAGE=debian:trixie-slim
ARG RUST_IMAGE=rust:1.95-slim-bookworm
# Major versions of PostgreSQL in the pg-backup image. Debian trixie has 17; a base image
# with the repository of apt.postgresql.org has all: --build-arg POSTGRESQL="14 15 16 17 18".
ARG POSTGRESQL=17

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
# Functions start at multiples of 16 bytes, and the generated code of the API types is
# not inlined: this saves 2.1 MB (ADR 0005).
RUN CGO_ENABLED=0 GOARCH=${TARGETARCH} GOFLAGS=-buildvcs=false go build -trimpath -tags grpcnotrace -gcflags "k8s.io/api/...=-l" -o /out/ \
    -ldflags "-s -w -funcalign=16 \
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

# Runs by itself, with PostgreSQL's clients, and the server that a drill restores into.
# `pg-backup install` copies the program into a volume for images that have their own.
# The package creates and starts a database cluster unless createcluster.conf forbids
# it. The JIT compiler is optional and removed. Databases of RDS have the locale en_US.
FROM ${CLIENTS_IMAGE} AS pg-backup
ARG POSTGRESQL
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates locales postgresql-common && \
    localedef -i en_US -f UTF-8 en_US.UTF-8 && \
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf && \
    for major in ${POSTGRESQL}; do apt-get install -y --no-install-recommends "postgresql-$major" || exit 1; done && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /usr/share/doc/* \
      /usr/lib/*/libLLVM* /usr/lib/llvm* /usr/lib/postgresql/*/lib/bitcode /usr/lib/postgresql/*/lib/llvmjit*
COPY --from=build /out/pg-backup /usr/local/bin/pg-backup
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pg-backup"]

# The services of examples/rust: static too, glibc included, and without TLS. cargo goes by
# the time of a file, not by its text, so what an earlier build left never counts as fresh.
FROM ${RUST_IMAGE} AS rust
LABEL dev.nova.stage=build
ENV CARGO_TARGET_DIR=/target
WORKDIR /src
COPY examples/rust .
RUN find . -type f -exec touch {} + && \
    host=$(rustc -vV | sed -n 's/^host: //p') && \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$host" && \
    mkdir -p /out && cp "/target/$host/release/user-service" "/target/$host/release/content-service" /out/

FROM scratch AS rust-service
USER 65532:65532
EXPOSE 8080

FROM rust-service AS user-service
COPY --from=rust /out/user-service /user-service
ENTRYPOINT ["/user-service"]

FROM rust-service AS content-service
COPY --from=rust /out/content-service /content-service
ENTRYPOINT ["/content-service"]

# Supervisor passes BUILD_FROM (from build.yaml), BUILD_VERSION and BUILD_ARCH.
# BuildKit adds BUILDPLATFORM and TARGETARCH.
ARG BUILD_FROM=ghcr.io/home-assistant/base:3.24-2026.06.1@sha256:94ff231402a5e7ad2a82e261ad5fa4ffae7d7bb095c3febb2edbdf309c9b6aca

# Go cross-compiles, so this stage runs on the building machine's own processor.
FROM --platform=$BUILDPLATFORM golang:1.26.8-alpine@sha256:ce864e7223ac17b1775e6fd0b4c0db580c2eb50e7953a427916379e4b92a1628 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download
COPY cmd ./cmd
COPY addon ./addon
COPY internal ./internal
ARG BUILD_VERSION=dev
ARG TARGETARCH
ENV CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH GOTOOLCHAIN=local
# A small computer keeps all of the file in memory, so it holds what the add-on runs
# and no more: neither lab nor simulator (image), nor Go's HTTP/2, which nothing here
# speaks (the doctor's own apart), nor copies of functions where they are called (-l).
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -tags image,nethttpomithttp2 -gcflags=all=-l -ldflags "-s -w -X main.version=${BUILD_VERSION}" -o /out/tunnelmedic ./cmd/tunnelmedic

FROM ${BUILD_FROM}

# The program brings no time zones, the base image's package tzdata does. Without
# them the quiet hours would be UTC's, unnoticed, so better no image at all.
RUN test -f /usr/share/zoneinfo/Europe/Berlin

# s6-overlay: warnings and errors only, the log belongs to the daemon.
ENV S6_VERBOSITY=1

COPY rootfs /
COPY --from=build /out/tunnelmedic /usr/bin/tunnelmedic

# Through env, because a health check enters the container in the outer AppArmor
# profile, and only a program started from there enters the daemon's own.
#
# Without --start-interval: the BuildKit of Docker 24, Supervisor's oldest, does not
# know it. While the app starts, Docker 25 and later look every five seconds of
# themselves (defaultStartInterval in moby's daemon/health.go), Docker 24 at the
# interval, which is short for that reason.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/bin/env", "/usr/bin/tunnelmedic", "healthcheck"]

ARG BUILD_VERSION=dev
ARG BUILD_ARCH
LABEL \
    io.hass.type="app" \
    io.hass.name="Tunnel Medic" \
    io.hass.description="Watches Home Assistant's WebSocket through a Cloudflare Tunnel and heals what it can" \
    io.hass.version="${BUILD_VERSION}" \
    io.hass.arch="${BUILD_ARCH}" \
    org.opencontainers.image.title="Tunnel Medic" \
    org.opencontainers.image.description="Watches Home Assistant's WebSocket through a Cloudflare Tunnel and heals what it can" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${BUILD_VERSION}"

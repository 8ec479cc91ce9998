# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26.10-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY app ./app
COPY rooms ./rooms
COPY tracing ./tracing
COPY web ./web
ARG VERSION=dev TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /image/traceroom ./app
# What the image has besides the program: the certificates of authorities, for collectors and databases that are reached
# over TLS, a directory for temporary files, and the database's, the one thing that the user owns.
RUN mkdir -p /image/etc/ssl/certs /image/tmp /data && chmod 1777 /image/tmp && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
ENV ADDR=:8000 \
    DATABASE_URL=sqlite:///data/traceroom.db \
    TRACE_LOG=off \
    TRACE_STDOUT=true
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --start-interval=1s --retries=3 CMD ["/traceroom", "health"]
ENTRYPOINT ["/traceroom"]

# MailDT as an image: one static layer with the program, the libraries that it names, certificates and time zones. No shell.
#
#   docker build -t maildt --build-arg MAILDT_REVISION=$(git rev-parse --short=12 HEAD) .

ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# The dependencies first: this layer stays as it is until Cargo.lock changes.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir -p src benches/load \
    && echo 'fn main() {}' | tee src/main.rs benches/core.rs benches/metrics.rs benches/load/main.rs >/dev/null \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -rf src benches target/release/maildt target/release/deps/maildt-* target/release/deps/libmaildt-* target/release/.fingerprint/maildt-*
COPY . .
ARG MAILDT_REVISION=unknown
ENV MAILDT_REVISION=${MAILDT_REVISION}
RUN cargo build --release --locked && strip target/release/maildt
# What the program needs to run, and nothing else.
RUN set -eu; out=/image; mkdir -p $out/usr/bin $out/etc/ssl/certs $out/etc/maildt $out/var/lib/maildt $out/tmp \
    && cp target/release/maildt $out/usr/bin/ \
    && for library in $(ldd target/release/maildt | grep -o '/[^ ]*'); do mkdir -p $out$(dirname $library); cp -L $library $out$library; done \
    && cp /etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/ \
    && mkdir -p $out/usr/share && cp -R /usr/share/zoneinfo $out/usr/share/ \
    && echo 'maildt:x:10001:10001:MailDT:/var/lib/maildt:/nologin' > $out/etc/passwd \
    && echo 'maildt:x:10001:' > $out/etc/group \
    && echo 'hosts: files dns' > $out/etc/nsswitch.conf \
    && chown -R 10001:10001 $out/var/lib/maildt && chmod 1777 $out/tmp

FROM scratch
ARG MAILDT_REVISION=unknown
LABEL org.opencontainers.image.title="MailDT" \
    org.opencontainers.image.description="Proves that mail arrives: signed probes, latency histograms, alerts" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${MAILDT_REVISION}"
COPY --from=build /image /
USER 10001:10001
WORKDIR /etc/maildt
ENV LISTEN=0.0.0.0:5000 METRICS_LISTEN=0.0.0.0:9025 DATA_DIR=/var/lib/maildt
EXPOSE 5000 9025
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/bin/maildt", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/maildt"]
CMD ["serve"]

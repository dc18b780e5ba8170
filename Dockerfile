FROM debian:trixie-slim AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-pip python3-setuptools python3-venv
RUN python3 -m venv --without-pip /opt/smtprelay

WORKDIR /source
COPY deploy/container/requirements.txt .
# dkimpy is published as source only; it is pure Python, so a compiler is not needed.
RUN python3 -m pip wheel --no-cache-dir --wheel-dir /wheels --no-deps --require-hashes \
    --only-binary=:all: --no-binary=dkimpy --no-build-isolation --requirement requirements.txt

COPY . .
RUN python3 -m pip wheel --no-cache-dir --wheel-dir /wheels --no-deps --no-index --no-build-isolation . \
    && python3 -m pip --python /opt/smtprelay/bin/python install --no-compile --no-deps --no-index /wheels/*.whl

# Byte code and Twisted's list of plugins are made now, because the image's user cannot write there. One date for all files
# makes the list newer than the plugins, however coarse the timestamps of the file system that unpacks them.
RUN cd /opt/smtprelay/lib/python3.13/site-packages \
    && find . -depth -type d \( -name test -o -name tests \) -exec rm -r {} + \
    && find . -exec touch --no-dereference --date=2026-01-01 {} + \
    && python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash . \
    && /opt/smtprelay/bin/twistd --help >/dev/null \
    && cd /opt/smtprelay/bin \
    && find . -type f ! -name smtprelay ! -name twistd -delete


FROM debian:trixie-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates dns-root-data libunbound8 python3 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old

# Any user id works if its group is 0.
RUN useradd --uid 10025 --gid 0 --no-user-group --no-create-home --home-dir /var/spool/smtprelay \
        --shell /usr/sbin/nologin smtprelay \
    && install -d -o smtprelay -g 0 -m 0770 /var/spool/smtprelay /var/mail

COPY --from=build /opt/smtprelay /opt/smtprelay
COPY --chmod=755 deploy/container/entrypoint deploy/container/shim /opt/smtprelay/bin/
# Programs look for sendmail in /usr/sbin.
RUN for name in exim exim4 exiqgrep mailq newaliases sendmail; do ln -s shim "/opt/smtprelay/bin/$name"; done \
    && ln -s /opt/smtprelay/bin/shim /usr/sbin/sendmail

# A second interpreter whose file has the capability to open ports below 1024: Docker lets every user open them, Kubernetes
# and the host's own network do not. The value is struct vfs_cap_data of linux/capability.h: revision 2 and "effective",
# then CAP_NET_BIND_SERVICE, which is bit 10, as permitted.
RUN cp /usr/bin/python3.13 /opt/smtprelay/bin/python-port25 \
    && python3 -c 'import os, struct; \
os.setxattr("/opt/smtprelay/bin/python-port25", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))'

ENV PATH=/opt/smtprelay/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PORT=25 BIND_IP=0.0.0.0 BIND_IP6=::0 RUN_AS=smtprelay
USER 10025:0
WORKDIR /
# 465 and 587 are for SUBMISSION_TLS_PORT and SUBMISSION_PORT.
EXPOSE 25 465 587
VOLUME /var/spool/smtprelay
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=20s --retries=3 CMD ["smtprelay", "health"]
ENTRYPOINT ["/opt/smtprelay/bin/entrypoint"]
CMD ["relay"]

ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="smtprelay" \
      org.opencontainers.image.description="A mail relay that answers 250 only when the mail is safely on disk" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="debian:trixie-slim"

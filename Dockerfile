# The base image: one of a certain day, or with its digest, such as debian:trixie-20261116-slim@sha256:...
ARG BASE=debian:trixie-slim
# The time, in seconds since 1970, of each file that the build writes.
ARG SOURCE_DATE_EPOCH=1767225600
# The state of Debian's archive to take packages from, such as 20261129T000000Z. By default it is today's.
ARG SNAPSHOT=""
ARG SNAPSHOT_HOST=http://snapshot.debian.org
# 1 has mypyc compile the modules through which most messages go (docs/compiled.md). mypyc comes from Python's package index,
# because Debian's is too old.
ARG COMPILE=""


FROM $BASE AS packages

ARG SOURCE_DATE_EPOCH
ARG SNAPSHOT
ARG SNAPSHOT_HOST

# Debian's own packages, because all of them exist for every architecture. With SOURCE_DATE_EPOCH in the environment, their
# byte code is tied to its source by a digest in place of the time, which a builder may change. The last commands leave
# nothing of the moment of the build; files of the base image are emptied, because a layer notes the time of a removal.
RUN touch --date="1 second ago" /tmp/begun \
    && if [ -n "$SNAPSHOT" ]; then \
        for suite in debian/trixie debian/trixie-updates debian-security/trixie-security; do \
            echo "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
                "$SNAPSHOT_HOST/archive/${suite%/*}/$SNAPSHOT ${suite#*/} main"; \
        done >/tmp/snapshot.list \
        && set -- -o Dir::Etc::SourceList=/tmp/snapshot.list -o Dir::Etc::SourceParts=-; \
    fi \
    && apt-get "$@" update \
    && DEBIAN_FRONTEND=noninteractive apt-get "$@" install --yes --no-install-recommends \
        ca-certificates \
        dns-root-data \
        libunbound8 \
        python3 \
        python3-attr \
        python3-click \
        python3-cryptography \
        python3-dkim \
        python3-dnspython \
        python3-idna \
        python3-jinja2 \
        python3-klein \
        python3-openssl \
        python3-prometheus-client \
        python3-psycopg-c \
        python3-service-identity \
        python3-twisted \
    && cd /usr/lib/python3/dist-packages \
    && find . -depth -type d \( -name test -o -name tests \) -exec rm -r {} + \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /tmp/snapshot.list \
    && truncate --size=0 /var/log/*.log /var/log/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache \
        /var/lib/dpkg/*-old \
    && find / -xdev -newer /tmp/begun -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} + \
    && rm /tmp/begun


FROM packages AS build

ARG SOURCE_DATE_EPOCH
ARG SNAPSHOT
ARG SNAPSHOT_HOST
ARG COMPILE
# From the same state of the archive, because the metadata of the relay's package name the version of setuptools.
RUN if [ -n "$SNAPSHOT" ]; then \
        for suite in debian/trixie debian/trixie-updates debian-security/trixie-security; do \
            echo "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
                "$SNAPSHOT_HOST/archive/${suite%/*}/$SNAPSHOT ${suite#*/} main"; \
        done >/tmp/snapshot.list \
        && set -- -o Dir::Etc::SourceList=/tmp/snapshot.list -o Dir::Etc::SourceParts=-; \
    fi \
    && apt-get "$@" update \
    && DEBIAN_FRONTEND=noninteractive apt-get "$@" install --yes --no-install-recommends \
        python3-installer python3-setuptools ${COMPILE:+gcc libc6-dev python3-dev python3-pip}
RUN python3 -m venv --without-pip --system-site-packages /opt/smtprelay

WORKDIR /source
COPY . .
RUN if [ -n "$COMPILE" ]; then \
        python3 -m pip install --quiet --break-system-packages --root-user-action=ignore mypy mypy-zope; \
    fi \
    && SMTPRELAY_COMPILE=$COMPILE python3 -c 'from setuptools.build_meta import build_wheel; build_wheel("/tmp")' \
    && /opt/smtprelay/bin/python -m installer --no-compile-bytecode /tmp/smtprelay-*.whl

COPY --chmod=755 deploy/container/entrypoint /opt/smtprelay/bin/
# The commands of the Exim image are links to that of the relay. Byte code is made now, because the image's user cannot
# write there.
RUN cd /opt/smtprelay/bin \
    && for name in exim exim4 exiqgrep mailq newaliases sendmail; do ln -s smtprelay "$name"; done \
    && rm -f Activate.ps1 activate* \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/smtprelay/lib \
    && find /opt -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +


FROM packages

COPY --from=build /opt/smtprelay /opt/smtprelay

# Any user id works if its group is 0. Programs look for sendmail in /usr/sbin.
#
# python-port25 is a second interpreter whose file has the capability to open ports below 1024: Docker lets every user open
# them, Kubernetes and the host's own network do not. The value is struct vfs_cap_data of linux/capability.h: revision 2
# and "effective", then CAP_NET_BIND_SERVICE, which is bit 10, as permitted.
ARG SOURCE_DATE_EPOCH
RUN touch --date="1 second ago" /tmp/begun \
    && useradd --uid 10025 --gid 0 --no-user-group --no-create-home --home-dir /var/spool/smtprelay \
        --shell /usr/sbin/nologin smtprelay \
    && install -d -o smtprelay -g 0 -m 0770 /var/spool/smtprelay /var/mail \
    && ln -s /opt/smtprelay/bin/smtprelay /usr/sbin/sendmail \
    && cp /usr/bin/python3.13 /opt/smtprelay/bin/python-port25 \
    && python3 -c 'import os, struct; \
os.setxattr("/opt/smtprelay/bin/python-port25", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))' \
    && truncate --size=0 /etc/*- \
    && find / -xdev -newer /tmp/begun -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} + \
    && find /opt -type d -newermt "@$SOURCE_DATE_EPOCH" -exec touch --date="@$SOURCE_DATE_EPOCH" {} + \
    && rm /tmp/begun

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

# One image for each service: what it needs of its lock, the library, itself, and nothing else. `docker compose build`
# makes them all; by hand: docker build --target auth-server -t farseal/auth-server .
#
# Only what every builder knows: no syntax line, no mounts, no --chmod. Base images by their official names; where no
# registry can be reached, `make base-images` makes equivalents of them.

# What the images' labels say. The version is the members' own; scripts/up.sh tells the revision. Images use both at their
# very end, so that another revision builds nothing anew.
ARG VERSION=0.1.0
ARG REVISION=unknown

# --- environments: made with pip, which stays behind -------------------------------------------------------------------

FROM python:3.13-slim AS build
ENV PATH=/opt/builder/bin:/usr/local/bin:/usr/bin:/bin PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
# By this label what a build leaves behind is found.
LABEL org.opencontainers.image.vendor="Farseal"
WORKDIR /build
COPY requirements/build.txt requirements/
RUN python3 -m venv /opt/builder \
 && python3 -m venv --without-pip /opt/farseal \
 && pip install --quiet --require-hashes -r requirements/build.txt
COPY shared shared
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./shared

FROM build AS library-environment
COPY requirements/farseal.txt requirements/
RUN pip --python /opt/farseal/bin/python install --quiet --require-hashes -r requirements/farseal.txt \
 && pip --python /opt/farseal/bin/python install --quiet --no-deps --no-index --compile wheels/*.whl

FROM build AS auth-server-environment
COPY requirements/auth-server.txt requirements/
RUN pip --python /opt/farseal/bin/python install --quiet --require-hashes -r requirements/auth-server.txt
COPY auth_server auth_server
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./auth_server \
 && pip --python /opt/farseal/bin/python install --quiet --no-deps --no-index --compile wheels/*.whl

FROM build AS resource-a-environment
COPY requirements/resource-a.txt requirements/
RUN pip --python /opt/farseal/bin/python install --quiet --require-hashes -r requirements/resource-a.txt
COPY resource_a resource_a
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./resource_a \
 && pip --python /opt/farseal/bin/python install --quiet --no-deps --no-index --compile wheels/*.whl

FROM build AS resource-b-environment
COPY requirements/resource-b.txt requirements/
RUN pip --python /opt/farseal/bin/python install --quiet --require-hashes -r requirements/resource-b.txt
COPY resource_b resource_b
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./resource_b \
 && pip --python /opt/farseal/bin/python install --quiet --no-deps --no-index --compile wheels/*.whl

# --- services ----------------------------------------------------------------------------------------------------------

# Volumes are mounted below /var/lib/farseal. Their roots let any user make a folder of its own, as /tmp does: whoever
# owns the secrets runs the service, and that is not always 10001. The base image's own pip goes, and what would bring it
# back, be its Python Debian's or python.org's.
FROM python:3.13-slim AS service
RUN groupadd --system --gid 10001 farseal \
 && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin farseal \
 && mkdir -p /var/lib/farseal/published /var/lib/farseal/snapshot \
 && chmod 1777 /var/lib/farseal/published /var/lib/farseal/snapshot \
 && rm -rf /usr/bin/pip* /usr/local/bin/pip* /usr/lib/python3*/dist-packages/pip* /usr/local/lib/python3*/site-packages/pip* \
      /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip /usr/share/python-wheels
ENV PATH=/opt/farseal/bin:/usr/local/bin:/usr/bin:/bin PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
LABEL org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Farseal"

# The library alone, to put a service of your own upon: docs/protect-your-service.md.
FROM service AS library
COPY --from=library-environment /opt/farseal /opt/farseal
LABEL org.opencontainers.image.title="Farseal library" \
  org.opencontainers.image.description="Python with the library that verifies access tokens, for services of your own"
CMD ["python"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

FROM service AS auth-server
COPY --from=auth-server-environment /opt/farseal /opt/farseal
ENV AUTH_SERVER_HOST=0.0.0.0 AUTH_SERVER_OPS_HOST=0.0.0.0
EXPOSE 9000 9100
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=30s CMD ["python", "-m", "farseal.service.probe", "http://127.0.0.1:9100/readyz"]
LABEL org.opencontainers.image.title="Farseal auth server" \
  org.opencontainers.image.description="Signs RS256 access tokens and publishes the keys that verify them"
ENTRYPOINT ["farseal-auth"]
CMD ["serve"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

FROM service AS resource-a
COPY --from=resource-a-environment /opt/farseal /opt/farseal
ENV RESOURCE_A_HOST=0.0.0.0 RESOURCE_A_OPS_HOST=0.0.0.0
EXPOSE 9001 9101
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=30s CMD ["python", "-m", "farseal.service.probe", "http://127.0.0.1:9101/readyz"]
LABEL org.opencontainers.image.title="Farseal notes" \
  org.opencontainers.image.description="A resource server with a database of its own that never calls the auth server"
ENTRYPOINT ["python", "-m", "resource_a"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

FROM service AS resource-b
COPY --from=resource-b-environment /opt/farseal /opt/farseal
ENV RESOURCE_B_HOST=0.0.0.0 RESOURCE_B_OPS_HOST=0.0.0.0
EXPOSE 9002 9102
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=30s CMD ["python", "-m", "farseal.service.probe", "http://127.0.0.1:9102/readyz"]
LABEL org.opencontainers.image.title="Farseal reports" \
  org.opencontainers.image.description="A resource server without a database, built from the claims of the token"
ENTRYPOINT ["python", "-m", "resource_b"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

# Who and what a new installation begins with, for trying it out and for tests.
FROM auth-server AS seed
COPY deploy/seed /usr/local/share/farseal-seed
HEALTHCHECK NONE
LABEL org.opencontainers.image.title="Farseal seed" \
  org.opencontainers.image.description="Puts a manifest of people, clients and resources into a new installation, and ends"
ENTRYPOINT ["sh", "/usr/local/share/farseal-seed/seed.sh"]
CMD []

# --- what stands around them -------------------------------------------------------------------------------------------

FROM nginx:stable AS keys
COPY deploy/nginx/main.conf deploy/nginx/http.conf deploy/nginx/static.conf deploy/nginx/tls.conf deploy/nginx/problems.conf deploy/nginx/documents.conf /etc/nginx/farseal/
COPY deploy/nginx/keys.conf /etc/nginx/farseal.conf
COPY deploy/nginx/keys-tls.conf /etc/nginx/farseal-tls.conf
RUN chmod 755 /etc/nginx/farseal && chmod 644 /etc/nginx/farseal/* /etc/nginx/farseal*.conf && mkdir -p /var/lib/farseal/published && chmod 1777 /var/lib/farseal/published
USER 101:101
EXPOSE 8080
LABEL org.opencontainers.image.title="Farseal published documents" \
  org.opencontainers.image.description="A static host of keys and status lists" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Farseal"
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=30s CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/jwks.json"]
ENTRYPOINT ["nginx", "-e", "/dev/stderr", "-c", "/etc/nginx/farseal.conf"]
CMD []
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

FROM nginx:stable AS auth-gateway
COPY deploy/nginx/main.conf deploy/nginx/http.conf deploy/nginx/common.conf deploy/nginx/tls.conf deploy/nginx/problems.conf /etc/nginx/farseal/
COPY deploy/nginx/auth.conf /etc/nginx/farseal/
COPY deploy/nginx/auth-gateway.conf /etc/nginx/farseal.conf
COPY deploy/nginx/auth-gateway-tls.conf /etc/nginx/farseal-tls.conf
RUN chmod 755 /etc/nginx/farseal && chmod 644 /etc/nginx/farseal/* /etc/nginx/farseal*.conf
USER 101:101
EXPOSE 9000
LABEL org.opencontainers.image.title="Farseal auth gateway" \
  org.opencontainers.image.description="Spreads requests over the replicas of the auth server" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Farseal"
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=30s CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/"]
ENTRYPOINT ["nginx", "-e", "/dev/stderr", "-c", "/etc/nginx/farseal.conf"]
CMD []
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

FROM nginx:stable AS resource-gateway
COPY deploy/nginx/main.conf deploy/nginx/http.conf deploy/nginx/common.conf deploy/nginx/tls.conf deploy/nginx/problems.conf /etc/nginx/farseal/
COPY deploy/nginx/notes.conf deploy/nginx/reports.conf /etc/nginx/farseal/
COPY deploy/nginx/resource-gateway.conf /etc/nginx/farseal.conf
COPY deploy/nginx/resource-gateway-tls.conf /etc/nginx/farseal-tls.conf
RUN chmod 755 /etc/nginx/farseal && chmod 644 /etc/nginx/farseal/* /etc/nginx/farseal*.conf
USER 101:101
EXPOSE 9001 9002
LABEL org.opencontainers.image.title="Farseal resource gateway" \
  org.opencontainers.image.description="Lets requests in to the resource servers" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Farseal"
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=30s CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/"]
ENTRYPOINT ["nginx", "-e", "/dev/stderr", "-c", "/etc/nginx/farseal.conf"]
CMD []
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

FROM postgres:18 AS postgres
COPY deploy/postgres/entrypoint.sh /usr/local/bin/farseal-postgres
COPY deploy/postgres/role.sh /docker-entrypoint-initdb.d/role.sh
RUN chmod 755 /usr/local/bin/farseal-postgres /docker-entrypoint-initdb.d/role.sh
LABEL org.opencontainers.image.title="Farseal PostgreSQL" \
  org.opencontainers.image.description="PostgreSQL with one database, owned by a role that is no superuser" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Farseal"
HEALTHCHECK --interval=3s --timeout=3s --retries=3 --start-period=60s CMD ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"]
ENTRYPOINT ["farseal-postgres"]
CMD ["postgres"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"

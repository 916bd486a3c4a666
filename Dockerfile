# One image for every role: docker run agent-server python manage.py web | worker | beat
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data HOST=0.0.0.0

RUN useradd --create-home --uid 1000 agent && install --directory --owner agent --mode 700 /data
WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes -r requirements.lock
COPY . .

USER agent
VOLUME /data
EXPOSE 8000
CMD ["python", "manage.py", "web"]

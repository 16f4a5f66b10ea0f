"""The admin: what managers and operators see and do. Reads rows itself; whatever changes something goes through services."""

from sessions_app.admin import api_keys, contacts, messages, restaurants, sessions, users, webhooks, workers

__all__ = ["api_keys", "contacts", "messages", "restaurants", "sessions", "users", "webhooks", "workers"]

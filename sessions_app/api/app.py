"""The API object: its routers, its errors and its OpenAPI description."""

from ninja import NinjaAPI

api = NinjaAPI(title="Restaurant WA", version="1", urls_namespace="api")

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "WhatsApp"

    def ready(self) -> None:
        from sessions_app import checks  # noqa: F401  (registers itself; Django's settings are complete only now)

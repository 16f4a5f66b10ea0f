"""WSGI entry point: `granian --interface wsgi --http 1 restaurant_wa.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

from restaurant_wa.requests import Request
from sessions_app.checks import refuse_dangerous_production

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "restaurant_wa.settings")
application = get_wsgi_application()
application.request_class = Request
refuse_dangerous_production()

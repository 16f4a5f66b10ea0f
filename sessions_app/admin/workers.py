from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Count, ExpressionWrapper, Model, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.safestring import SafeString

from sessions_app.admin.grants import grants_of
from sessions_app.admin.markup import badge, moment, two_lines
from sessions_app.admin.unfolded import ModelAdmin
from sessions_app.admin.words import Badge
from sessions_app.models import Worker


@admin.register(Worker)
class WorkerAdmin(ModelAdmin[Worker]):
    """The installation's workers, for its operators: they serve every restaurant, so no member sees them."""

    list_display = ("who", "health", "load", "beat", "since")
    ordering = ("-expires_at",)
    sortable_by = ()
    change_form_template = "sessions_app/admin/look.html"
    actions: Any = None
    fieldsets = (
        (None, {"fields": (("name", "health"), ("hostname", "pid"), ("capacity", "queue"))}),
        ("Bridge", {"fields": ("bridge_ready", "bridge_detail")}),
        ("Times", {"fields": (("started_at", "heartbeat_at"), ("expires_at", "draining"))}),
    )
    readonly_fields = ("health",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        alive = ExpressionWrapper(Q(expires_at__gt=Now()), output_field=BooleanField())
        return super().get_queryset(request).annotate(alive=alive, session_count=Count("sessions"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="Worker")
    def who(self, worker: Worker) -> SafeString:
        return two_lines(worker.name, f"{worker.hostname} · pid {worker.pid or '–'}")

    @admin.display(description="State")
    def health(self, worker: Any) -> SafeString:
        return badge(worker_badge(worker, alive=worker.alive))

    @admin.display(description="Sessions")
    def load(self, worker: Any) -> str:
        return f"{worker.session_count:,} of {worker.capacity:,}"

    @admin.display(description="Heartbeat")
    def beat(self, worker: Worker) -> SafeString | str:
        return moment(worker.heartbeat_at)

    @admin.display(description="Started")
    def since(self, worker: Worker) -> SafeString | str:
        return moment(worker.started_at)


def worker_badge(worker: Worker, *, alive: bool) -> Badge:
    if not alive:
        return Badge("Gone", "bad", "Its heartbeat has stopped; others take its sessions over.")
    if worker.draining:
        return Badge("Handing over", "warn", "It is stopping and gives its sessions to others.")
    if not worker.bridge_ready:
        return Badge("Bridge not ready", "bad", worker.bridge_detail)
    return Badge("Alive", "good")

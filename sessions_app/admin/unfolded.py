"""Unfold ships no types. Its classes extend Django's own, so the type checker is shown those, which take their model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.contrib.admin.views.main import ChangeList
else:
    from unfold.admin import ModelAdmin as _ModelAdmin
    from unfold.admin import TabularInline as _TabularInline
    from unfold.views import ChangeList

    class ModelAdmin(_ModelAdmin):
        __class_getitem__ = classmethod(lambda cls, _: cls)

    class TabularInline(_TabularInline):
        __class_getitem__ = classmethod(lambda cls, _: cls)


__all__ = ["ChangeList", "ModelAdmin", "TabularInline"]

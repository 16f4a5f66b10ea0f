from typing import TypeVar

from django import forms
from unfold.widgets import INPUT_CLASSES, TEXTAREA_CLASSES

F = TypeVar("F", bound=forms.BaseForm)


def styled(form: F) -> F:
    """Gives a plain form's text inputs the look of the admin's own."""
    for field in form.fields.values():
        classes = TEXTAREA_CLASSES if isinstance(field.widget, forms.Textarea) else INPUT_CLASSES
        if isinstance(field.widget, forms.TextInput | forms.Textarea):
            field.widget.attrs.setdefault("class", " ".join(classes))
    return form

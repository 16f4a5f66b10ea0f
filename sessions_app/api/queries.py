from collections.abc import Collection

from django.http import HttpRequest

from sessions_app.api.problems import FieldProblem, ProblemError


def check_query(request: HttpRequest, known: Collection[str] = ()) -> None:
    """A misspelled filter would silently show everything, and of one that is named twice the last alone would count: 422."""
    errors = [error for name, values in sorted(request.GET.lists()) if (error := _error(name, len(values), known))]
    if errors:
        raise ProblemError(422, "invalid_request", "The request has filters that do not exist, or one twice.", errors=errors)


def _error(name: str, times: int, known: Collection[str]) -> FieldProblem | None:
    if name not in known:
        message = f"This filter does not exist; there are {', '.join(known) or 'none here'}."
        return FieldProblem(place="query", pointer=f"/{name}", code="unknown_field", message=message)
    if times > 1:
        return FieldProblem(place="query", pointer=f"/{name}", code="repeated", message="Name this filter once.")
    return None

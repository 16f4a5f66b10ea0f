from django.http import HttpRequest
from pydantic import BaseModel

from sessions_app.api.problems import FieldProblem, ProblemError


def refuse_unknown(request: HttpRequest, known: type[BaseModel]) -> None:
    """A misspelled filter would silently show everything: unknown query parameters are a 422."""
    unknown = sorted(set(request.GET) - set(known.model_fields))
    if unknown:
        message = f"This filter does not exist; there are {', '.join(known.model_fields)}."
        errors = [FieldProblem(place="query", pointer=f"/{name}", code="unknown_field", message=message) for name in unknown]
        raise ProblemError(422, "invalid_request", "The request has filters that do not exist.", errors=errors)

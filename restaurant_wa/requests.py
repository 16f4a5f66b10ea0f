"""A request whose Content-Type, and those of its parts, may say anything."""

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import QueryDict
from django.http.multipartparser import MultiPartParserError
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        """Django reads it before any handler is there to answer, and trips over some parameters: such a type is no type.

        The charset is not heeded. Forms and JSON come in UTF-8, and `hex` and `undefined` are codecs as well.
        """
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except Exception:
            self.content_type, self.content_params = "", {}

    def parse_file_upload(self, META: Mapping[str, Any], post_data: Any) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        """The headers of a part trip it as well, and nothing makes an answer of that."""
        try:
            return super().parse_file_upload(META, post_data)
        except (TypeError, ValueError, LookupError) as error:
            raise MultiPartParserError(f"A part of the form cannot be read: {error}") from error

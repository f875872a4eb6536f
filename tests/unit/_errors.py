"""One example of every error that the product can raise."""

from bifrost.base.errors import DomainError
from tools.docs import error_classes, example


def every_error() -> list[DomainError]:
    return [example(kind) for kind in error_classes()]

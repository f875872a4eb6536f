"""What can go wrong with virtual keys."""

from bifrost.base.errors import Conflict, Denied, Invalid, NotFound


class VirtualKeyRefused(Denied):
    """A key that is known, but inactive or expired (contract §7: 403 with the reason)."""

    default_code = "virtual_key_inactive"


class VirtualKeyTaken(Conflict):
    default_code = "virtual_key_taken"


class UnknownVirtualKey(NotFound):
    default_code = "virtual_key_not_found"


class WeakVirtualKey(Invalid):
    default_code = "virtual_key_invalid"

"""The words and pure checks of the protocols we speak: no I/O, no clock. A string of the wire lives here."""

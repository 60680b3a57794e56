"""Who may send studies, how large they may be, and where their results go."""

from __future__ import annotations

from pydantic import Field

from lvo_kedro.options import Options


class PeerOptions(Options):
    """Who may send."""

    ae_title: str = Field(min_length=1, max_length=16)
    """The application entity title by which it calls itself."""
    address: str = "127.0.0.1"
    """IP address that it calls from."""


class DestinationOptions(Options):
    """Where results go."""

    ae_title: str = Field(min_length=1, max_length=16)
    """Application entity title of the archive."""
    host: str = "127.0.0.1"
    """Its name or address."""
    port: int = Field(default=4242, ge=1, le=65535)
    """Its port."""


class ReceiverOptions(Options):
    """How studies are received and results sent."""

    ae_title: str = Field(default="LVO_KEDRO", min_length=1, max_length=16)
    """By which others call this receiver; a wrong one is refused."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is reached from this machine alone."""
    port: int = Field(default=11112, ge=0, le=65535)
    """Port to listen on; 0: any that is free."""
    peers: tuple[PeerOptions, ...] = ()
    """Who may send; nobody else is answered."""
    destination: DestinationOptions | None = None
    """Where results go; null: they stay in the spool."""
    quiet_seconds: float = Field(default=15.0, gt=0)
    """A study is complete when nothing of it has come for so long."""
    max_object_mb: float = Field(default=600.0, gt=0)
    """Largest image that is taken; a sender of a larger one is cut off."""
    max_study_mb: float = Field(default=2000.0, gt=0)
    """Largest study that is taken."""
    stalled_seconds: float = Field(default=60.0, gt=0)
    """A sender that has not sent the next block (at most 1 MB) after so long is cut off."""
    retry_seconds: float = Field(default=30.0, gt=0)
    """After so long, results that could not be sent are sent again."""

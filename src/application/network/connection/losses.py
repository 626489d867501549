"""Telling the peer what got lost on the way from it, which decides how it sends."""

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.egress import Egress


def report_losses(crypto: ParcelCrypto, egress: Egress, now_s: float) -> None:
    """Send a report if one is due: to be called after each ``open_parcels``."""
    report = crypto.loss_report(now_s)
    if report is not None:
        egress.send_batch(crypto.seal([report]))

"""Zalo's template message by phone number (ZBS Template Message, once ZNS).

The real address is https://business.openapi.zalo.me/message/template. It answers 200 to everything;
what it thinks stands in `error`. What Zalo's documents leave open is marked here as assumed.
"""

from __future__ import annotations

from libs.simulator.providers.zalo_template.endpoint import ZaloTemplateMessages

PROVIDER = ZaloTemplateMessages

from __future__ import annotations

from libs.simulator.webhooks import WAITING_COUNT_MAX, Webhook, WebhookSender


async def test_a_receiver_that_stays_away_does_not_fill_the_memory() -> None:
    webhook = Webhook(
        provider="zalo-template",
        account="2512",
        url="http://127.0.0.1:1/nobody",
        render=lambda _retry: (b"", {}),
        retry_intervals_seconds=(),
        timeout_seconds=1,
    )
    sender = WebhookSender(retry_scale=1)
    for _ in range(WAITING_COUNT_MAX + 1):
        sender.submit(webhook, None)
    assert sender.report() == {"waiting": WAITING_COUNT_MAX, "overflowed": 1}
    sender.reset()
    sender.submit(webhook, None)
    assert sender.report() == {"waiting": 1}

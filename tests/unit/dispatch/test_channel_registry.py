from __future__ import annotations

import re

import pytest

from libs.addressing import ADDRESS_KINDS
from services.dispatch import channels
from services.dispatch.channels.contract import Account, Channel, Message
from services.dispatch.channels.email import CHANNEL as EMAIL
from services.dispatch.channels.zalo_template import CHANNEL, ZaloTemplate
from services.dispatch.domain.account import Credentials


def test_the_channels_of_the_folder_are_found() -> None:
    assert dict(channels.CHANNELS) == {"email": EMAIL, "zalo-template": CHANNEL}


@pytest.mark.parametrize("channel", channels.CHANNELS.values(), ids=lambda channel: channel.name)
def test_a_channel_names_itself_and_what_it_needs(channel: Channel) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", channel.name)
    assert channel.address_kind in {"phone", "email"}
    for name in channel.required_settings | channel.required_credentials:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)


def test_two_channels_of_one_name_stop_the_start() -> None:
    with pytest.raises(ValueError, match=r"'zalo-template'.*zalo_template and .*zalo_template"):
        channels.by_name([ZaloTemplate(), ZaloTemplate()])


def test_nothing_of_a_person_or_an_account_is_printed() -> None:
    message = Message(
        purpose="marketing",
        recipient="+84901234567",
        provider_template_id="7895",
        data={"customer": "canary-name"},
        reference="r1",
        unsubscribe_url="https://leo.test/canary",
    )
    account = Account(settings={"app_id": "1001"}, credentials=Credentials({"token": "canary"}))
    for printed in (repr(message), str(message), repr(account), f"{account} {message}"):
        assert "canary" not in printed
        assert "84901234567" not in printed


@pytest.mark.parametrize("channel", channels.CHANNELS.values(), ids=lambda channel: channel.name)
def test_people_are_reached_at_the_kind_of_address_that_a_channel_names(channel: Channel) -> None:
    assert ADDRESS_KINDS[channel.name] == channel.address_kind

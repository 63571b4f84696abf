"""Who is no member of the group commits nothing: a broker would check nothing about it."""

from __future__ import annotations

import pytest

from stream.log.records import PublishFailed
from stream.log.transactions import Membership, TransactionalPublisher
from stream.settings import Settings


def test_a_worker_that_was_put_out_of_its_group_gets_no_publisher() -> None:
    # what aiokafka's coordinator holds until it has rejoined
    put_out = Membership("riskstream", -1, "")
    with pytest.raises(PublishFailed, match="no member of group riskstream"):
        TransactionalPublisher(Settings(broker="127.0.0.1:1"), "riskstream-w1--1-accounts", put_out)

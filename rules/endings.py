"""What the customer is told when a held payment ends: what happened, and what to do.

Apart from why it was held, which its decision told. Pure, and in plain words: no rule, no threshold, never a report.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from rules.pack import LANGUAGES
from rules.phrases import MoneyForm, amount, texts
from rules.typesetting import capital, typeset

Held = Literal["review", "challenge"]


@lru_cache(maxsize=4096)
def ending_sentences(held: Held, result: str, cause: str, amount_minor: int, money: MoneyForm) -> dict[str, str]:
    """The sentence in each language.

    Parameters
    ----------
    held
        What the payment waited for.
    result, cause
        As in its Resolution.
    amount_minor, money
        The amount as the customer ordered it; without a currency it is not known.

    >>> ending_sentences("challenge", "release", "challenge", 420000, MoneyForm("CNY"))["en"]
    'You have confirmed your payment of CNY 4,200.00, and it is made now. You need not do anything.'
    >>> ending_sentences("review", "decline", "customer", 0, MoneyForm(""))["zh"]
    '您的这笔付款已由您撤回，未予执行，资金仍在您的账户中。如非您本人撤回，请立即拨打卡背面的电话联系我们。'
    """
    sentences = {}
    for language in LANGUAGES:
        text = texts(language)
        own = text["endings"]
        told = own["payment"].format(amount=amount(amount_minor, money, text)) if money.currency else None
        sentence = own[result][f"expired_{held}" if cause == "expiry" else cause]
        sentence = sentence.format(payment=told or own["payment_of_unknown_amount"])
        sentences[language] = typeset(capital(sentence), language)
    return sentences
